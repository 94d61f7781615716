"""What a launch takes from torch's settings and from where its tensors are, and what it leaves alone."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pruneproof import kernels
from pruneproof.kernels import backend

FILES = sorted(Path(kernels.__file__).parent.rglob("*.py"))


def unguarded(source: str) -> list[str]:
    """Functions that launch a kernel and are not decorated by `on_its_device`."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [
        function.name
        for function in functions
        if any(_is_launch(node) for node in ast.walk(function))
        and "on_its_device" not in {ast.unparse(decorator) for decorator in function.decorator_list}
    ]


def _is_launch(node: ast.AST) -> bool:
    subscripted = isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
    return subscripted and ast.unparse(node.func).partition("[")[0].endswith("_kernel")  # pyright: ignore[reportAttributeAccessIssue]


def test_every_launch_is_made_on_the_device_of_its_tensors() -> None:
    assert {file.name: unguarded(file.read_text()) for file in FILES if unguarded(file.read_text())} == {}
    launching = [file for file in FILES if "_kernel[" in file.read_text()]
    assert len(launching) == 4  # greedy, masked, sparse, sensitivity


def test_a_launch_without_the_guard_is_found() -> None:
    body = "(x):\n    some_kernel[(1,)](x)\n"
    assert unguarded(f"def f{body}\n@on_its_device\ndef g{body}") == ["f"]


def test_the_guard_makes_the_device_current(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []

    class Device:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            entered.append(self.device)

        def __exit__(self, *_: object) -> None:
            entered.append("left")

    monkeypatch.setattr(torch.cuda, "device", Device)
    launch = backend.on_its_device(lambda tensor, number: (number, list(entered)))
    elsewhere: Any = SimpleNamespace(device=torch.device("cuda:1"))
    assert launch(elsewhere, 3) == (3, [torch.device("cuda:1")]) and entered[-1] == "left"
    assert launch(torch.ones(1), 4)[0] == 4 and len(entered) == 2


def run(code: str) -> None:
    """In a process of its own: the settings are of the whole process, and the two ways to set them do not mix."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SETTINGS = [
    ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", "tf32"),
    ("torch.backends.cuda.matmul.fp32_precision = 'ieee'", "ieee"),
    ("torch.backends.fp32_precision = 'tf32'", "tf32"),
    ("torch.set_float32_matmul_precision('high')", "tf32"),
    ("torch.set_float32_matmul_precision('highest')", "ieee"),
    ("torch.backends.cuda.matmul.allow_tf32 = True", "tf32"),
    ("pass", "ieee"),
]
USE = """
import torch
{setting}
from pruneproof.kernels.masked import launch
assert launch.resolve("default") == "{expected}", launch.resolve("default")
assert launch.library_serves(torch.float32, "ieee") == ("{expected}" == "ieee")
assert launch.library_serves(torch.float32, "default") and launch.library_serves(torch.bfloat16, "ieee")
assert launch.resolve("default") == "{expected}"
"""


@pytest.mark.parametrize(("setting", "expected"), SETTINGS)
def test_the_precision_of_float32_follows_either_setting(setting: str, expected: str) -> None:
    run(USE.format(setting=setting, expected=expected))


EXACT = """
import os
os.environ |= {"TRITON_INTERPRET": "1", "PRUNEPROOF_BACKEND": "triton"}
import torch
torch.backends.cuda.matmul.fp32_precision = "tf32"
from pruneproof.kernels import masked_linear
from pruneproof.kernels.masked import launch

def never(*arguments):
    raise AssertionError("the library would compute this in TF32")

torch.nn.functional.linear = never
mask = torch.arange(40 * 70).view(40, 70) % 3 == 0
x, weight, dy = (torch.randint(-2, 3, shape).float() for shape in ((400, 70), (40, 70), (400, 40)))
y = masked_linear(x.requires_grad_(), weight.requires_grad_(), mask, precision="ieee")
dx, dw = torch.autograd.grad(y, (x, weight), dy)
kept = torch.where(mask, weight, 0).detach()
assert torch.equal(y, x @ kept.T) and torch.equal(dx, dy @ kept) and torch.equal(dw, torch.where(mask, dy.T @ x, 0))
assert torch.backends.cuda.matmul.fp32_precision == "tf32"
"""


def test_a_precision_that_the_library_is_not_set_to_is_computed_without_it() -> None:
    run(EXACT)
