"""The page: list of images on the left, the editor in the middle, the origin of the proposal on the right."""

import gradio as gr

from universeg_jax.app.editor import make_editor
from universeg_jax.app.events import SHOW, Events, Opened
from universeg_jax.app.paint import Style

CSS = """
footer {display: none !important}
#list .caption-label {font-size: 11px; white-space: pre-line; max-width: 100%; left: 0; right: 0}
#state p {margin: 0}
"""
# Fonts of the system: the default theme would fetch its own from elsewhere.
FONT, FONT_MONO = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")


def build(events: Events) -> gr.Blocks:
    """Lay the page out and connect it to its events. The result is ready to be launched."""
    with gr.Blocks(title="universeg-jax", analytics_enabled=False, fill_width=True) as page:
        opened = gr.State(Opened())
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
                with gr.Row():
                    propose = gr.Button("Propose", elem_id="propose")
                    save = gr.Button("Save", elem_id="save")
                    confirm = gr.Button("Confirm", variant="primary", elem_id="confirm")
                    following = gr.Button("Next to look at", elem_id="next")
                with gr.Accordion("Start from a click or a box", open=False):
                    with gr.Row():
                        prompt_kind = gr.Radio(["Click", "Box"], value="Click", show_label=False)
                        prompt_class = gr.Dropdown(events.class_choices(), value=events.first_class(), label="Class")
                        clear = gr.Button("Forget clicks", size="sm")
                    prompt = gr.Image(type="numpy", interactive=False, show_label=False, buttons=[], elem_id="prompt")
            with gr.Column(scale=4, min_width=260):
                threshold = gr.Slider(0.05, 0.95, 0.5, step=0.05, label="Threshold", elem_id="threshold")
                ensemble = gr.Slider(1, 8, 1, step=1, label="Ensemble (random draws of the examples)")
                opacity = gr.Slider(0.1, 1.0, 0.5, step=0.1, label="Opacity")
                style = gr.Radio([s.value for s in Style], value=Style.FILL.value, label="Mask as")
                with gr.Accordion("Classes", open=False):
                    legend = gr.HTML(events.legend(), elem_id="legend")
                    class_names = gr.Dataframe(
                        events.class_rows(),
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
                examples = gr.Gallery(
                    label="Made from", columns=4, height=150, allow_preview=False, buttons=[], elem_id="examples"
                )
                spread = gr.Image(label="Uncertainty", interactive=False, visible=False, buttons=[], elem_id="spread")
        shown = [images, progress, sheet]
        view = [opened, editor, state, about, examples, spread, prompt]
        drawing = [threshold, opacity, style]
        leaving, here = [opened, editor], [show, sheet]

        def then_shows(event, *, listed: bool = True):
            """After an event that opened an image: draw its mask, then list the images anew."""
            event = event.then(events.draw, [opened, opacity], editor, show_progress="hidden")
            return event.then(events.list_images, here, shown, show_progress="hidden") if listed else event

        page.load(events.list_images, here, shown)
        then_shows(page.load(events.open_next, [opened, *drawing], view), listed=False)
        gr.on([show.change, sheet.submit], events.list_images, here, shown)
        back.click(lambda show, number: events.list_images(show, (number or 1) - 1), here, shown)
        forth.click(lambda show, number: events.list_images(show, (number or 1) + 1), here, shown)
        left = images.select(events.leave_for, leaving, opened)
        then_shows(left.then(events.open_chosen, [opened, *drawing], view))
        left = following.click(events.leave, leaving, opened)
        then_shows(left.then(events.open_next, [opened, *drawing], view))
        then_shows(save.click(events.save, [*leaving, *drawing], view))
        then_shows(confirm.click(events.confirm, [*leaving, *drawing], view))
        then_shows(propose.click(events.propose, [*leaving, ensemble, *drawing], view))
        then_shows(ensemble.release(events.propose, [*leaving, ensemble, *drawing], view))
        running = (
            propose_all.click(lambda: gr.update(visible=True), None, stop)
            .then(events.propose_all, [*here, ensemble], shown)
            .then(lambda: gr.update(visible=False), None, stop)
        )
        stop.click(lambda: gr.update(visible=False), None, stop, cancels=[running]).then(
            events.list_images, here, shown
        )
        redrawn = [threshold.release, opacity.release, style.input]
        gr.on(redrawn, events.redraw, [*leaving, *drawing], [opened, editor], show_progress="hidden")
        prompted = [*leaving, prompt_kind, prompt_class, *drawing]
        then_shows(prompt.select(events.clicked, prompted, view))
        clear.click(events.forget_clicks, opened, [opened, prompt])
        classes_shown = [class_names, legend, prompt_class, editor]
        rename.click(events.rename, class_names, classes_shown)
        export.click(events.export, None, exported)
        add.click(events.add_class, None, classes_shown)
    return page
