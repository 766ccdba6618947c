"""The right side of the page: the model and the examples that a proposal was made from, and its warnings."""

import html

import gradio as gr

from universeg_jax.app import editor
from universeg_jax.app.pictures import for_browser
from universeg_jax.app.states import LABELLED, State
from universeg_jax.app.workspace import Workspace

EXAMPLES_SHOWN = 8


def origin_of(workspace: Workspace, name: str) -> tuple:
    """Return text, examples and heat map of an image's proposal, and whether it may replace a mask."""
    proposal = workspace.proposal(name)
    if proposal is None:
        return (
            _without_proposal(workspace, name),
            gr.update(visible=False),
            editor.heat_map(None),
            gr.update(visible=False),
        )
    known = [one for one in proposal.examples if one in set(workspace.names) and not workspace.problem(one)]
    examples = [(for_browser(workspace.thumbnail(one)), one) for one in known[:EXAMPLES_SHOWN]]
    text = f"Expected Dice **{proposal.forecast:.2f}**, {proposal.note}"
    text += "".join(f"\n\n⚠ {html.escape(warning)}" for warning in proposal.warnings)
    has_mask = gr.update(visible=workspace.state(name) in LABELLED)
    return text, gr.update(value=examples, visible=True), editor.heat_map(proposal.spread), has_mask


def _without_proposal(workspace: Workspace, name: str) -> str:
    """Say what to do with an image that has no proposal."""
    if workspace.state(name) is State.CONFIRMED:
        return "This image is confirmed: it is an example for the others."
    if workspace.confirmed():
        return "No proposal yet. Press Propose."
    return "No proposal yet. Paint the structure and press Confirm, or start from a click."
