"""Measure how well methods segment tasks from examples."""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax.evaluate.data import CorpusData as CorpusData
    from universeg_jax.evaluate.few_shot.runner import FewShotProtocol as FewShotProtocol
    from universeg_jax.evaluate.few_shot.runner import run_few_shot as run_few_shot
    from universeg_jax.evaluate.folder_data import FolderData as FolderData
    from universeg_jax.evaluate.folder_data import read_folder as read_folder
    from universeg_jax.evaluate.methods import Ensemble as Ensemble
    from universeg_jax.evaluate.methods import InContext as InContext
    from universeg_jax.evaluate.methods import Method as Method
    from universeg_jax.evaluate.methods import Retrieval as Retrieval
    from universeg_jax.evaluate.methods import TestTimeAugmentation as TestTimeAugmentation
    from universeg_jax.evaluate.metrics import Scores as Scores
    from universeg_jax.evaluate.metrics import dice as dice
    from universeg_jax.evaluate.metrics import iou as iou
    from universeg_jax.evaluate.metrics import score as score
    from universeg_jax.evaluate.metrics import soft_dice as soft_dice
    from universeg_jax.evaluate.protocol import EvaluationProtocol as EvaluationProtocol
    from universeg_jax.evaluate.runner import Evaluation as Evaluation
    from universeg_jax.evaluate.runner import evaluate as evaluate
else:
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "data": ("CorpusData",),
            "folder_data": ("FolderData", "read_folder"),
            "methods": ("Ensemble", "InContext", "Method", "Retrieval", "TestTimeAugmentation"),
            "metrics": ("Scores", "dice", "iou", "score", "soft_dice"),
            "protocol": ("EvaluationProtocol",),
            "runner": ("Evaluation", "evaluate"),
            "few_shot.runner": ("FewShotProtocol", "run_few_shot"),
        },
    )
