#!/usr/bin/env python3
"""Checkpoints of transformers read by dropforge: all that save_pretrained of its BERT classes writes, with the same results.

    scripts/checks/huggingface_matrix.py build/release/bin/dropforge [FOLDER]

needs transformers 5 and torch. The models are random, of 2 layers. Of those with an MLM head, the log-probabilities of all tokens at each [MASK] of 20 sentences
are compared (`dropforge fill`, so that the tokenizer is compared too); of the others, the last hidden states (`dropforge parity`). A line for each folder.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertTokenizer
from transformers.utils import logging

LIMIT = 1e-4
DROPFORGE = sys.argv[1]
ROOT = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()

WORDS = "the king queen was a of café river hill ran over under and then saw no one 1 2 3 . , ! ? - ö 的 人".split()
VOCABULARY = (
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    + WORDS
    + [f"[unused{i}]" for i in range(20)]
    + ["cafe", "o", "The", "Café", "##s", "##n", "##ing", "##é", "##e", "[", "]", "c", "+"]
)
ADDED = ["C++", "zz9"]  # found in the normalised text
ADDED_SPECIAL = ["<e1>"]

MODELS = {  # with an MLM head?
    "BertModel": False,
    "BertForPreTraining": True,
    "BertForMaskedLM": True,
    "BertLMHeadModel": True,
    "BertForNextSentencePrediction": False,
    "BertForSequenceClassification": False,
    "BertForTokenClassification": False,
    "BertForQuestionAnswering": False,
    "BertForMultipleChoice": False,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "f32": {},
    "f16": {"dtype": torch.float16},
    "bf16": {"dtype": torch.bfloat16},
    "f64": {"dtype": torch.float64},
    "sharded": {"max_shard_size": "100KB"},
    "vocab.txt": {"vocab_txt": True},
    "gelu_new, epsilon 1e-5": {"config": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}},
    "padded vocabulary": {"config": {"vocab_size": len(VOCABULARY) + 37}},
}
VARIANTS_OF_MLM: dict[str, dict[str, Any]] = {
    "untied": {"config": {"tie_word_embeddings": False}},
    "untied, sharded": {"config": {"tie_word_embeddings": False}, "max_shard_size": "60KB"},
    "added tokens": {"config": {"vocab_size": len(VOCABULARY) + 3}, "added": True},
    "cased": {"tokenizer": {"do_lower_case": False}},
    "accents kept": {"tokenizer": {"strip_accents": False}},
    "cased, accents stripped": {"tokenizer": {"do_lower_case": False, "strip_accents": True}},
    "ideographs not split": {"tokenizer": {"tokenize_chinese_chars": False}},
}


def sentences() -> Iterator[str]:
    generator = torch.Generator().manual_seed(1)
    extra = ["The Café kings", "Running [SEP] on", "x[MASK]s", "CAFÉ 的人", "C++ xzz9y ZZ9 a<e1>b <E1>"]
    for i in range(20):
        words = [WORDS[int(k)] for k in torch.randint(len(WORDS), (4 + i % 9,), generator=generator)]
        words[i % len(words)] = "[MASK]"
        if i % 3 == 0:
            words += ["[MASK]"]
        if i % 2 == 0:
            words += [extra[i // 2 % len(extra)]]
        yield " ".join(words)


SENTENCES = list(sentences())


def dropforge(command: str, *arguments: str) -> str:
    """Its standard output, or an exception with its line of error."""
    result = subprocess.run([DROPFORGE, command, "--threads", "1", *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip().splitlines()[-1])
    return result.stdout


def mlm_difference(model: Any, tokenizer: Any, folder: str) -> float:
    output = json.loads(dropforge("fill", "--quiet", "--json", "--top", "1000", "--model", folder, "--", *SENTENCES))
    largest, ids = 0.0, tokenizer.get_vocab()
    for text, found in zip(SENTENCES, output, strict=True):
        batch = tokenizer(text, return_tensors="pt")
        outputs = model(**batch)
        logits = (outputs.prediction_logits if hasattr(outputs, "prediction_logits") else outputs.logits)[0]
        expected = logits[batch["input_ids"][0] == tokenizer.mask_token_id].double().log_softmax(-1)
        for row, candidates in zip(expected, found["masks"], strict=True):
            own = torch.full_like(row, float("nan"))
            for candidate in candidates:
                own[ids[candidate["token"]]] = candidate["probability"]
            difference = (own.log() - row)[sorted(ids.values())].abs().max().item()
            largest = max(largest, difference if difference == difference else float("inf"))
    return largest


def hidden_difference(model: Any, tokenizer: Any, folder: str) -> float:
    batch = tokenizer(SENTENCES, return_tensors="pt", padding=True)
    given, taken = os.path.join(ROOT, "batch.safetensors"), os.path.join(ROOT, "result.safetensors")
    save_file({"input_ids": batch["input_ids"].int(), "lengths": batch["attention_mask"].sum(1).int()}, given)
    dropforge("parity", "--model", folder, "--batch", given, "--out", taken)
    expected = getattr(model, "bert", model)(**batch).last_hidden_state * batch["attention_mask"][..., None]
    last = load_file(taken)[f"hidden/{model.config.num_hidden_layers}"]
    return float((last.view_as(expected) - expected).abs().max())


def save(
    name: str,
    folder: str,
    config: dict[str, Any] = {},
    dtype: torch.dtype = torch.float32,
    tokenizer: dict[str, Any] = {},
    vocab_txt: bool = False,
    added: bool = False,
    **options: Any,
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    model = getattr(transformers, name)(BertConfig(**{**sizes, "max_position_embeddings": 48, **config}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(dtype).save_pretrained(folder, **options)
    words = BertTokenizer(vocab={token: i for i, token in enumerate(VOCABULARY)}, **tokenizer)
    if added:
        words.add_tokens(ADDED)
        words.add_special_tokens({"additional_special_tokens": ADDED_SPECIAL})
    words.save_pretrained(folder)
    if vocab_txt:
        os.remove(os.path.join(folder, "tokenizer.json"))
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(VOCABULARY) + "\n")


def check(name: str, variant: str, options: dict[str, Any]) -> bool:
    folder = os.path.join(ROOT, f"{name}, {variant}".replace(", ", "-").replace(" ", "-"))
    save(name, folder, **options)
    model = getattr(transformers, name).from_pretrained(folder, dtype=torch.float32).eval()
    compare = mlm_difference if MODELS[name] else hidden_difference
    try:
        with torch.no_grad():
            difference = compare(model, AutoTokenizer.from_pretrained(folder), folder)
        equal, verdict = difference <= LIMIT, f"{difference:.1e}"
    except RuntimeError as error:
        equal, verdict = False, str(error)
    files = sum(file.endswith(".safetensors") for file in os.listdir(folder))
    print(f"{name:30} {variant:24} {files} file(s)  {verdict}{'' if equal else '  WRONG'}", flush=True)
    return equal


def main() -> None:
    logging.disable_progress_bar()
    torch.manual_seed(0)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {len(SENTENCES)} sentences")
    cases = [(name, variant, options) for name, mlm in MODELS.items() for variant, options in {**VARIANTS, **(VARIANTS_OF_MLM if mlm else {})}.items()]
    results = [check(*case) for case in cases]
    print(f"{sum(results)} equal to {LIMIT}, {len(results) - sum(results)} not")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
