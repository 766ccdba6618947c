"""The page: list of images on the left, the editor in the middle, the origin of the proposal on the right."""

import gradio as gr

from universeg_jax.app.editor import ClassTable, Opened, make_editor
from universeg_jax.app.events import LOOK_AGAIN, Events
from universeg_jax.app.image_list import SHOW
from universeg_jax.app.pictures import Style

CSS = """
footer {display: none !important}
#list .caption-label {font-size: 11px; line-height: 1.3; white-space: pre; text-overflow: ellipsis; overflow: hidden}
#list .caption-label {max-width: 100%; left: 0; right: 0; padding: 2px 5px}
#progress p {overflow-wrap: anywhere}
#examples .caption-label {font-size: 10px; max-width: 100%; left: 0; right: 0; padding: 2px 4px}
#show label {padding: 4px 8px; font-size: 13px; white-space: nowrap}
#show label span {margin-left: 0}
#list .thumbnail-item.selected {--ring-color: transparent !important; border-color: var(--border-color-primary)}
#propose, #save, #confirm, #next, #propose-all, #stop, #export {font-size: 13px; padding: 10px 2px; white-space: nowrap}
.wrap > .error, .wrap > .clear-status {display: none} /* the message is shown above the page */
#examples .grid-container {grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)) !important}
#exported td {padding: 4px; font-size: 12px}
#exported .download {min-width: 0; width: auto}
#next {letter-spacing: -0.3px}
#show input {display: none}
#show label.selected {border-color: var(--primary-500); font-weight: 600}
#show .wrap {gap: 4px; flex-wrap: nowrap}
#about {max-height: 260px; overflow-y: auto}
#state p, #about p {margin: 0}
#editor .layer-wrap {display: none}
"""
# Fonts of the system: the default theme would fetch its own from elsewhere.
FONT, FONT_MONO = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")


def build(events: Events) -> gr.Blocks:
    """Lay the page out and connect it to its events. The result is ready to be launched."""
    volumes, table = bool(events.workspace.scans), ClassTable(events.workspace)
    with gr.Blocks(title="universeg-jax", analytics_enabled=False, fill_width=True) as page:
        opened, asked = gr.State(Opened()), gr.State("")
        renewed, watch = gr.State(""), gr.Timer(LOOK_AGAIN, active=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=230):
                progress = gr.Markdown(elem_id="progress")
                show = gr.Radio(list(SHOW), value="All", show_label=False, elem_id="show")
                images = gr.Gallery(
                    columns=2, height=560, allow_preview=False, show_label=False, buttons=[], elem_id="list"
                )
                with gr.Row():
                    back = gr.Button("◀", size="sm", min_width=40, elem_id="page-back")
                    sheet = gr.Number(1, precision=0, minimum=1, show_label=False, min_width=60, container=False)
                    forth = gr.Button("▶", size="sm", min_width=40, elem_id="page-forth")
                propose_all = gr.Button("Propose all", elem_id="propose-all")
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
                export = gr.Button("Export", elem_id="export")
                exported = gr.File(label="Masks, names and overview", visible=False, elem_id="exported")
            with gr.Column(scale=8, min_width=480):
                state = gr.Markdown("Choose an image on the left.", elem_id="state")
                editor = make_editor(events.first_picture(), events.workspace.colours)
                with gr.Row(visible=volumes):
                    before = gr.Button("◀", size="sm", min_width=40, scale=0, elem_id="slice-back")
                    number = gr.Slider(1, 2, 1, step=1, label="Slice", buttons=[], elem_id="slice")
                    after = gr.Button("▶", size="sm", min_width=40, scale=0, elem_id="slice-forth")
                with gr.Row():
                    propose = gr.Button("Propose", min_width=90, elem_id="propose")
                    save = gr.Button("Save", min_width=90, elem_id="save")
                    confirm = gr.Button("Confirm", variant="primary", min_width=90, elem_id="confirm")
                    following = gr.Button("Next to look at", min_width=90, elem_id="next")
                with gr.Row(visible=volumes):
                    propose_scan = gr.Button("Propose this scan", size="sm", elem_id="propose-scan")
                    confirm_scan = gr.Button("Confirm all proposals of this scan", size="sm", elem_id="confirm-scan")
                with gr.Accordion("Start from a click or a box", open=False, elem_id="prompts"):
                    with gr.Row():
                        prompt_kind = gr.Radio(["Click", "Box"], value="Click", show_label=False, elem_id="prompt-kind")
                        prompt_class = gr.Dropdown(table.choices(), value=table.first(), label="Class")
                        clear = gr.Button("Forget clicks", size="sm", elem_id="forget")
                    prompt = gr.Image(type="numpy", interactive=False, show_label=False, buttons=[], elem_id="prompt")
            with gr.Column(scale=4, min_width=260):
                threshold = gr.Slider(0.05, 0.95, 0.5, step=0.05, label="Threshold", buttons=[], elem_id="threshold")
                ensemble = gr.Slider(
                    1, 8, 1, step=1, label="Ensemble (random draws of the examples)", buttons=[], elem_id="ensemble"
                )
                opacity = gr.Slider(0.1, 1.0, 0.5, step=0.1, label="Opacity", buttons=[], elem_id="opacity")
                style = gr.Radio([s.value for s in Style], value=Style.FILL.value, label="Mask as", elem_id="style")
                with gr.Accordion("Classes", open=False):
                    legend = gr.HTML(table.legend(), elem_id="legend")
                    class_names = gr.Dataframe(
                        table.rows(),
                        headers=["value", "name"],
                        datatype=["number", "str"],
                        column_count=(2, "fixed"),
                        show_label=False,
                        elem_id="classes",
                    )
                    with gr.Row():
                        rename = gr.Button("Save names", size="sm", elem_id="rename")
                        add = gr.Button("Add a class", size="sm", elem_id="add-class")
                about = gr.Markdown(elem_id="about")
                use = gr.Button("Put the proposal in place of the mask", size="sm", visible=False, elem_id="use")
                examples = gr.Gallery(
                    show_label=False,
                    columns=4,
                    height=190,
                    visible=False,
                    allow_preview=False,
                    buttons=[],
                    elem_id="examples",
                )
                spread = gr.Image(label="Uncertainty", interactive=False, visible=False, buttons=[], elem_id="spread")
        shown = [images, progress, sheet]
        view = [opened, editor, state, about, examples, spread, use, prompt, number]
        drawing = [threshold, opacity, style]
        leaving, here = [opened, editor], [show, sheet]
        quiet = {"show_progress": "hidden"}

        def then_shows(event, *, listed: bool = True):
            """After an event that opened an image: draw its mask, then list the images anew."""
            event = event.then(events.draw, leaving, editor, **quiet)
            return event.then(events.list.fill, here, shown, **quiet) if listed else event

        def then_opens(event):
            """After an event that chose an image: open it."""
            return then_shows(event.then(events.open_chosen, [opened, *drawing], view))

        def proposes_many(event, function, inputs):
            """After an event: propose many masks, which Stop ends, and show the opened image's."""
            run = event(lambda: gr.update(visible=True), None, stop, **quiet).then(
                function, [*inputs, *here, ensemble], shown, show_progress_on=[progress]
            )
            failed = run.failure(lambda: gr.update(visible=False), None, stop, **quiet)  # an error calls no `then`
            failed.then(events.list.fill, here, shown, **quiet)
            ended = run.then(lambda: gr.update(visible=False), None, stop, **quiet)
            then_shows(ended.then(events.show_new_proposal, [*leaving, *drawing], view, **quiet))
            return run

        page.load(events.list.fill, here, shown, **quiet)
        then_shows(page.load(events.open_next, [opened, *drawing], view), listed=False)
        gr.on([show.change, sheet.submit], events.list.fill, here, shown, **quiet)
        back.click(lambda show, at: (yield from events.list.fill(show, (at or 1) - 1)), here, shown, **quiet)
        forth.click(lambda show, at: (yield from events.list.fill(show, (at or 1) + 1)), here, shown, **quiet)
        then_opens(images.select(events.leave_for, leaving, opened))
        then_opens(number.release(events.leave_for_slice, [*leaving, number], opened))
        then_opens(before.click(lambda o, v, n: events.leave_for_slice(o, v, n, -1), [*leaving, number], opened))
        then_opens(after.click(lambda o, v, n: events.leave_for_slice(o, v, n, 1), [*leaving, number], opened))
        left = following.click(events.leave, leaving, opened)
        then_shows(left.then(events.open_next, [opened, *drawing], view))
        then_shows(save.click(events.save, [*leaving, *drawing], view))
        then_shows(confirm.click(events.confirm, [*leaving, *drawing], view))
        new = propose.click(events.propose, [opened, ensemble], [asked, about, watch])
        then_shows(new.success(events.show_proposal, [asked, *leaving, *drawing], view, **quiet))
        new = ensemble.release(events.propose_again, [opened, ensemble], [asked, about, watch])
        then_shows(new.success(events.show_proposal, [asked, *leaving, *drawing], view, **quiet))
        page.load(events.watch, None, watch, **quiet)
        watch.tick(events.look_again, opened, [renewed, watch], **quiet)
        then_shows(renewed.change(events.show_new_proposal, [*leaving, *drawing], view, **quiet))
        then_shows(use.click(events.use_proposal, [opened, *drawing], view), listed=False)
        left = confirm_scan.click(events.leave, leaving, opened).then(events.confirm_scan, [opened, threshold])
        then_shows(left.then(events.open_again, [opened, *drawing], view))
        running = [
            proposes_many(propose_all.click, events.propose_all, []),
            proposes_many(propose_scan.click, events.propose_scan, [opened]),
        ]
        stop.click(lambda: gr.update(visible=False), None, stop, cancels=running, **quiet).then(
            events.list.fill, here, shown, **quiet
        )
        redrawn = [threshold.release, opacity.release, style.input]
        gr.on(redrawn, events.redraw, [*leaving, *drawing], [opened, editor], **quiet)
        prompted = [*leaving, prompt_kind, prompt_class, *drawing]
        then_shows(prompt.select(events.clicks.clicked, prompted, view))
        gr.on([clear.click, prompt_kind.input], events.clicks.forget, opened, [opened, prompt], **quiet)
        classes_shown = [class_names, legend, prompt_class, editor]
        rename.click(table.rename, [class_names, opacity], classes_shown)
        add.click(table.add, opacity, classes_shown)
        export.click(events.export, None, exported)
    return page
