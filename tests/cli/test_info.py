import json

from segue.io.tensors import read_tensors


def test_the_text_says_what_the_model_is_and_how_well_it_did(world, segue):
    answer = segue("info", world.model)
    assert (answer.code, answer.err) == (0, "")
    facts = {
        line.split("  ")[0].strip(): line.split("  ", 1)[1].strip() for line in answer.out.splitlines() if "  " in line
    }
    weights, _ = read_tensors(world.model)
    learnt = sum(array.size for name, array in weights.items() if "running" not in name and "tracked" not in name)
    assert facts["network"] == f"2D, width 4, 2 poolings, {learnt:,} parameters"
    assert facts["input"] == "1 channel"
    assert facts["objects"] == "background, cell"
    assert facts["maps besides"] == "distance"
    assert facts["training"].startswith("20 steps in ")
    assert "held-out images, with 95 % intervals over images:" in answer.out


def test_the_json_is_the_whole_header(world, segue):
    answer = segue("info", world.model, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out) == read_tensors(world.model)[1]["model"]
