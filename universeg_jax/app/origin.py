"""The right side of the page: the model and the examples that a proposal was made from, and its warnings."""

import html

import gradio as gr

from universeg_jax.app import editor
from universeg_jax.app.pictures import for_browser
from universeg_jax.app.states import LABELLED
from universeg_jax.app.workspace import Workspace

EXAMPLES_SHOWN = 8


def origin_of(workspace: Workspace, name: str) -> tuple:
    """Return text, examples and heat map of an image's proposal, and whether it may replace a mask."""
    proposal = workspace.proposal(name)
    if proposal is None:
        text = "No proposal yet. Confirm one image, then press Propose."
        return text, gr.update(visible=False), editor.heat_map(None), gr.update(visible=False)
    known = [one for one in proposal.examples if one in set(workspace.names) and not workspace.problem(one)]
    examples = [(for_browser(workspace.thumbnail(one)), one) for one in known[:EXAMPLES_SHOWN]]
    text = f"Expected Dice **{proposal.forecast:.2f}**, {proposal.note}"
    text += "".join(f"\n\n⚠ {html.escape(warning)}" for warning in proposal.warnings)
    has_mask = gr.update(visible=workspace.state(name) in LABELLED)
    return text, gr.update(value=examples, visible=True), editor.heat_map(proposal.spread), has_mask
