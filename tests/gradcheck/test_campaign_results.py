"""The file of results, and the table."""

import json

import pytest
from campaigns import result

from gradcheck import CallError
from gradcheck.campaigns.check import Check, Unchecked
from gradcheck.campaigns.plan import Plan, plan_of
from gradcheck.campaigns.results import Results
from gradcheck.campaigns.table import headline, lines

HEADER = {"target": "mine.py", "seed": 0, "versions": {"numpy": "2.0"}}


def written(path, *names):
    file = Results(path, HEADER, resume=False)
    file.append([result(name) for name in names])
    file.close()
    return path


def test_results_are_lines_and_are_found_again(tmp_path):
    path = written(tmp_path / "r.jsonl", "a", "b")
    assert [json.loads(line).get("check") for line in path.read_text().splitlines()] == [None, "a", "b"]
    file = Results(path, HEADER, resume=True)
    assert [*file.found] == ["a", "b"]
    file.append([{"started": ["c", "d"]}, {"started": ["c"]}, result("d")])
    file.close()
    again = Results(path, HEADER, resume=True)
    assert (again.started, again.dropped, [*again.found]) == ({"c": 2}, 0, ["a", "b", "d"])
    again.close()


@pytest.mark.parametrize("torn", ['{"check": "c", "verd', "{", '{"check": "c"}'])
def test_a_torn_last_line_is_dropped(torn, tmp_path):
    path = written(tmp_path / "r.jsonl", "a")
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())
    file = Results(path, HEADER, resume=True)
    assert (file.dropped, [*file.found], path.read_bytes()) == (len(torn), ["a"], whole)
    file.append([result("b")])
    file.close()
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_first_line_begins_the_file_anew(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"campaign": 1, "tar')
    Results(path, HEADER, resume=True).close()
    assert json.loads(path.read_text())["target"] == "mine.py"


def test_a_file_that_does_not_fit_is_a_sentence(tmp_path):
    path = written(tmp_path / "r.jsonl", "a")
    with pytest.raises(CallError, match=r"holds results already: pass --resume"):
        Results(path, HEADER, resume=False)
    other = {"target": "mine.py", "seed": 3, "versions": {"numpy": "2.1"}}
    words = r"another campaign: seed was 0 and is 3, version of numpy was '2.0' and is '2.1'\. Name another"
    with pytest.raises(CallError, match=words):
        Results(path, other, resume=True)
    held = Results(path, HEADER, resume=True)
    with pytest.raises(CallError, match=r"another campaign writes to .*r.jsonl: name another file"):
        Results(path, HEADER, resume=True)
    held.close()
    path.write_text(path.read_text() + "gradcheck\n" + json.dumps(result("b")) + "\n")
    with pytest.raises(CallError, match=r"r.jsonl, line 3, is no result: the file was changed"):
        Results(path, HEADER, resume=True)
    path.write_text('{"a": 1}\n')
    with pytest.raises(CallError, match="is no file of results: its first line has no campaign"):
        Results(path, HEADER, resume=True)
    with pytest.raises(
        CallError, match=r"results can't be written to .*: No such file or directory: name a file"
    ):
        Results(tmp_path / "nowhere" / "r.jsonl", HEADER, resume=True)


def test_the_table_lists_what_is_no_pass_and_what_could_not_be_checked():
    bad = result("m:f", "crashed") | {
        "text": "m:f: the process ended",
        "output": "Fatal Python error: Aborted\nwhere",
    }
    text = "\n".join(lines("mine.py", 0, [result("m:e"), bad], [Unchecked("m:G", "no example")]))
    assert "CRASHED  m:f: the process ended\n    | Fatal Python error: Aborted\n    | where" in text
    assert "not checked: m:G, no example" in text
    assert text.endswith(headline("mine.py", 0, [result("m:e"), bad]))
    assert headline("mine.py", 0, [result("a")] * 2).endswith(
        "2 checks on 0 examples, seed 0, 1 s of workers: 2 pass"
    )


def test_a_plan_is_plain_data():
    plan = Plan("mine.py", (Check("marked", "m", "f"), Check("op", "g", "h", "value")), (), {"numpy": "2"})
    assert plan_of(plan.to_json()) == plan
    assert [c.id for c in plan.only(lambda c: c.kind == "op").checks] == ["g:h value"]
