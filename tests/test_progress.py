"""In a notebook, a progress bar is seen while it runs, and nothing of it stays when the notebook is saved."""

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

BEGIN = """from toylib._progress import bar
print("before")
with bar(3, "step", progress=None) as quick:
    quick.update(3)  # within the first second
shown = bar(7, "step", progress=True)
shown.update(5)
shown.set_postfix_str("loss 0.25")
"""


def texts(outputs):
    return [output.text if output.output_type == "stream" else output.data.get("text/plain") for output in outputs]


def test_a_bar_in_a_notebook_is_seen_while_it_runs_and_leaves_nothing():
    begin, end = new_code_cell(BEGIN), new_code_cell("shown.close()\nprint('after')")
    client = NotebookClient(new_notebook(cells=[begin, end]), extra_arguments=["--log-level=ERROR"])
    with client.setup_kernel():
        client.execute_cell(begin, 0)
        before, seen = texts(begin.outputs)
        assert before == "before\n"
        assert " 5/7 [" in seen
        assert seen.endswith(", loss 0.25]")
        client.execute_cell(end, 1)
    assert texts(begin.outputs) == ["before\n", None]
    assert begin.outputs[1].data == {}
    assert texts(end.outputs) == ["after\n"]
    assert "widgets" not in client.nb.metadata
