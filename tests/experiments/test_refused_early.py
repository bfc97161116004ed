"""What would fail, or change a result, in the middle of a night is said before anything is trained."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from plain_task import plain_task
from shell_calls import Shell
from tiny_models import save_model

ALLOWED = "allow_unreachable: short answers are enough here\n"
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def world(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task, a tiny real base, and `x.yaml` over both."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("HARNESS_HOME", str(project / "home"))
    save_model(project / "base", max_position_embeddings=512)
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("max_new_tokens: 60", "max_new_tokens: 4") + ALLOWED)
    experiment(project, "[untrained]")
    return project


def experiment(folder: Path, arms: str, more: str = "") -> None:
    text = f"task: task\nbase_model: base\narms: {arms}\nbudget: {{examples: 4}}\n{more}"
    (folder / "x.yaml").write_text(text + "resources: {threads: 1, device: cpu}\n")


@pytest.mark.parametrize("used", [True, False])
def test_a_token_without_an_embedding_is_refused_where_it_is_used(world: Path, shell: Shell, used: bool) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world / "base")
    tokenizer.add_tokens(["Say" if used else "unheard-of"])
    tokenizer.save_pretrained(str(world / "base"))
    size = len(tokenizer) - 1
    for words in (("check", "x.yaml"), ("preview", "x.yaml"), ("run", "x.yaml")):
        answer = shell(*words)
        if used:
            assert answer.code == 2 and answer.err.count("\n") == 1, words
            assert f"token {size}, the model has {size} embeddings" in answer.err
        else:
            assert answer.code == 0, answer.err


def test_models_refuse_such_a_token_in_any_request(world: Path) -> None:
    from harness.errors import ModelError
    from harness.models import Continuation
    from harness.models.lm_eval_model import HarnessLM

    model = HarnessLM.load(str(world / "base")).model
    size = model.model.get_input_embeddings().weight.shape[0]  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=f"token {size}, the model has {size}"):
        model.logprobs([Continuation((1, 2), (size,))])
    with pytest.raises(ModelError, match=f"token {size}, the model has {size}"):
        model.generate([(1, size)], 2, ())


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")  # peft, of what is done here
def test_an_adapter_with_more_embeddings_is_told_from_one_of_another_base(world: Path, shell: Shell) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(world / "base")
    before = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(before + 2, mean_resizing=False)
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.add_(0.1)
    adapted.save_pretrained(str(world / "adapter"))
    experiment(world, "[{method: imported, path: adapter, name: theirs}]")
    answer = shell("run", "x.yaml")
    assert answer.code == 2 and answer.err.splitlines()[-1].count("harness:") == 1
    assert f"saved with {before + 2} token embeddings, the base model has {before}" in answer.err
    assert not list((world / "home").glob("evals/*"))


def test_prompts_that_are_formatted_already_are_counted(world: Path, shell: Shell) -> None:
    """200 generated templates: their own marks in the data are seen, and bare data never are."""
    from harness.config import ChatSpec
    from harness.data.prompts import Prompter
    from harness.models.transformers import loading
    from harness.records import Example

    rng = random.Random(6)
    tokenizer = loading.load_tokenizer(world / "base")
    task = plain_task()
    for _ in range(200):
        opening, closing = rng.choice([("### ", ":"), ("<|", "|>"), ("[", "]"), ("<start_of_turn>", "")])
        names = {role: f"{opening}{role}{rng.randrange(100)}{closing}" for role in ("user", "assistant")}
        end = rng.choice(["\n", "\n\n", " "])
        template = (
            f"{{% for m in messages %}}{{% if m['role'] == 'user' %}}{names['user']}{{% else %}}{names['assistant']}"
            f"{{% endif %}}{end}{{{{ m['content'] }}}}\n{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{names['assistant']}{end}{{% endif %}}"
        )
        prompter = Prompter(tokenizer, ChatSpec(template=template), task, 512)

        def example(prompt: str) -> Example:
            return Example(id="e", group="e", prompt=prompt, references=("b",), fields={})

        bare = f"how are you, user {rng.randrange(1000)}?"
        assert not prompter.is_formatted(example(bare))
        assert prompter.is_formatted(example(f"{names['user']}{end}{bare}\n{names['assistant']}{end}"))
    experiment(world, "[untrained]", f"chat: {{use: always, template: {json.dumps(CHAT)}}}\n")
    file = world / "task" / "task.yaml"
    file.write_text(file.read_text().replace('"Say: {{ words }}"', '"<user>Say: {{ words }}<assistant>"'))
    answer = shell("check", "x.yaml")
    assert answer.code == 0 and "prompts hold what the chat template writes around a turn" in answer.out


# ------------------------------------------------------------------------------------------------------------ paths


def test_a_home_in_front_of_a_path_is_written_out(world: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(world))
    plain = shell("check", "task")
    task = world / "task" / "task.yaml"
    task.write_text(task.read_text().replace("path: rows.jsonl", "path: ~/task/rows.jsonl"))
    assert shell("check", "task").out.partition("\n")[0] == plain.out.partition("\n")[0]
    file = world / "x.yaml"
    file.write_text(
        file.read_text().replace("task: task", "task: ~/task").replace("base_model: base", "base_model: ~/base")
    )
    assert shell("check", "x.yaml").code == 0


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("path: rows.jsonl", r'path: "data\new\rows.jsonl"'),
        ("path: rows.jsonl", r'path: ["data\table.jsonl"]'),
        ("data: {path: rows.jsonl", r'retention: {path: "a\rb.jsonl"}' + "\ndata: {path: rows.jsonl"),
    ],
)
def test_a_path_that_yaml_has_changed_is_refused(world: Path, shell: Shell, field: str, line: str) -> None:
    task = world / "task" / "task.yaml"
    task.write_text(task.read_text().replace(field, line))
    answer = shell("check", "task")
    assert answer.code == 2 and answer.err.count("\n") == 1
    assert "task.yaml:" in answer.err and "write forward slashes" in answer.err


def test_paths_with_backslashes_are_told_the_way_out(world: Path, shell: Shell) -> None:
    task = world / "task" / "task.yaml"
    right = task.read_text()
    task.write_text(right.replace("path: rows.jsonl", r"path: 'data\rows.jsonl'"))
    assert "data/rows.jsonl" in shell("check", "task").err
    task.write_text(right)
    file = world / "x.yaml"
    file.write_text(file.read_text().replace("base_model: base", r"base_model: 'models\base'"))
    answer = shell("check", "x.yaml")
    assert answer.code == 2 and "models/base" in answer.err


def test_generated_paths_keep_what_they_say_or_are_refused(world: Path) -> None:
    """200 paths: what YAML left alone is the path itself, what holds a control character is refused."""
    from pydantic import ValidationError

    from harness.config import DataSpec

    rng = random.Random(4)
    refused = 0
    for _ in range(200):
        path = "".join(rng.choice(["a", "b/", "ä", " ", "#", "*", ".", "\n", "\t", "\\"]) for _ in range(6)) + "x.jsonl"
        try:
            spec = DataSpec(path=path, licence="CC0-1.0")
            assert spec.path == path and not set(path) & {"\n", "\t"}
        except ValidationError:
            refused += 1
            assert set(path) & {"\n", "\t"}
    assert 50 < refused < 180


def test_all_rows_in_one_printed_object_are_told(world: Path, shell: Shell) -> None:
    rows = [json.loads(line) for line in (world / "task" / "rows.jsonl").read_text().splitlines()]
    (world / "task" / "rows.jsonl").write_text(json.dumps({"data": rows}, indent=2))
    answer = shell("check", "task")
    assert answer.code == 2 and "the rows stand in a list under 'data'" in answer.err


# ---------------------------------------------------------------------------------------------------------- preview


def hashes(home: Path, arm: str) -> set[str]:
    """Prompt hashes of an arm's answers."""
    for file in home.glob("runs/*/run.json"):
        run = json.loads(file.read_text())
        if run["arm"] == arm:
            [name] = set(json.loads((file.parent / "scored.json").read_text()).values())
            lines = (home / "evals" / name / "predictions.jsonl").read_text().splitlines()
            return {json.loads(line)["prompt_hash"] for line in lines}
    raise AssertionError(arm)


@pytest.mark.parametrize("arm", ["untrained", "shots", "other"])
def test_preview_of_an_experiment_shows_the_prompts_of_its_arms(
    world: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, arm: str
) -> None:
    from harness.data.prompts import Prompter
    from harness.experiments.loading import preview
    from harness.records import Example

    arms = "[untrained, {method: few_shot, k: 2, name: shots}"
    arms += ", {method: untrained, name: other, prompt: 'Echo {{ words }}'}]"
    experiment(world, arms, f"chat: {{use: always, system: Be brief., template: {json.dumps(CHAT)}}}\n")
    assert shell("run", "x.yaml").code == 0
    # The test examples through the prompter that the preview uses; it shows others itself.
    prompters: list[Prompter] = []
    own = preview.preview

    def watched(prompter: Prompter, examples: Any, shown: int) -> Any:
        prompters.append(prompter)
        return own(prompter, examples, shown)

    monkeypatch.setattr(preview, "preview", watched)
    answer = shell("preview", "x.yaml", *(("--arm", arm) if arm != "untrained" else ()))
    assert answer.code == 0 and "chat template" in answer.out and "Be brief." in answer.out
    [sealed] = (world / "home").glob("sealed/*/test.jsonl")
    from harness.records import from_json

    examples = [from_json(Example, json.loads(line)) for line in sealed.read_text().splitlines()]
    assert {prompters[0].encode_prompt(example, 4).prompt_hash for example in examples} == hashes(world / "home", arm)


def test_preview_says_what_it_needs(world: Path, shell: Shell) -> None:
    answer = shell("preview", "task")
    assert answer.code == 2 and "--model" in answer.err
    answer = shell("preview", "x.yaml", "--arm", "untraind")
    assert answer.code == 2 and "untrained" in answer.err
    shutil.rmtree(world / "base")
    assert shell("preview", "x.yaml").code == 2
