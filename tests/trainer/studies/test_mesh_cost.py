"""mesh_cost: memory against the tensors that a step holds, bytes against the collectives that ranks start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer import runs
from tests.trainer.ranks import run_ranks
from trainer.errors import UserError
from trainer.model.decoder import Decoder
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.studies.mesh_cost import (
    GB,
    STATE_BYTES,
    ClusterSettings,
    PlannedStep,
    count_memory,
    count_traffic,
    list_meshes,
    rank_meshes,
    saved_per_token,
)
from trainer.tasks.pretrain import causal_inputs
from trainer.tasks.pretrain_settings import read_pretrain_settings
from trainer.training.distributed import build_world
from trainer.training.mesh import MeshShape
from trainer.training.optimizer import OptimizerSettings, build_optimizer
from trainer.training.parallelize import parallelize
from trainer.training.step import accumulate, autocast

LENGTH = 640  # above attention.SHORT, so that bf16 takes the fused kernel on a CPU too
SHAPE = {"vocab_size": 64, "hidden_size": 64, "heads": 4, "ffn_hidden_size": 192, "context_length": LENGTH}
EXPERTS = {"num_experts": 4, "every": 1, "capacity_factor": None, "router_aux_loss_coef": 0.0}


def saved_bytes(layers: int, bf16: bool, checkpointing: bool) -> int:
    """Bytes of the storages that a forward pass keeps for the backward pass, weights not counted."""
    net = runs.build_decoder(ModelSettings(layers=layers, **SHAPE))
    net.activation_checkpointing = checkpointing
    weights = {weight.untyped_storage().data_ptr() for weight in net.parameters()}
    cast = {weight.numel() for weight in net.parameters()} if bf16 else set()
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and not (tensor.numel() in cast and tensor.dtype is torch.bfloat16):
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.zeros(1, LENGTH, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(tokens.device, bf16):
        output = net(tokens, tokens)
        assert output.loss is not None
    return sum(found.values())


@pytest.mark.parametrize("bf16", [False, True])
def test_activations_are_the_tensors_that_are_saved(bf16):
    measured = (saved_bytes(4, bf16, False) - saved_bytes(2, bf16, False)) / 2 / LENGTH
    assert measured == pytest.approx(saved_per_token(ModelSettings(layers=2, **SHAPE), bf16), rel=0.02)


def test_with_checkpointing_only_the_residual_stream_is_saved():
    assert (saved_bytes(4, False, True) - saved_bytes(2, False, True)) / 2 / LENGTH == pytest.approx(4 * 64, rel=0.02)


def test_state_is_weights_gradients_and_moments():
    net: Decoder = runs.build_decoder(ModelSettings(layers=2, **SHAPE))
    optimizer = build_optimizer(net, OptimizerSettings())
    tokens = torch.zeros(1, 8, dtype=torch.long)
    output = net(tokens, tokens)
    assert output.loss is not None
    output.loss.backward()
    optimizer.step()
    held = sum(weight.nbytes + weight.grad.nbytes for weight in net.parameters() if weight.grad is not None)
    held += sum(moment.nbytes for state in optimizer.state.values() for moment in state.values() if moment.ndim)
    assert held == STATE_BYTES * count_parameters(net.settings)
    work = PlannedStep(net.settings, LENGTH, 8, None, False, False, False)
    assert count_memory(work, MeshShape()).state == held
    assert count_memory(work, MeshShape(shard=4)).state == pytest.approx(held / 4)
    assert count_memory(work, MeshShape(data=4)).state == held


class CountedTraffic(TorchDispatchMode):
    """Adds up the bytes that this rank sends by ring algorithms, by kind of collective."""

    def __init__(self, ranks: int) -> None:
        super().__init__()
        self.part = (ranks - 1) / ranks
        self.sent = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.namespace in ("c10d", "_c10d_functional"):
            tensors = [value for value in (*args, found) if isinstance(value, torch.Tensor)]
            size = max((tensor.nbytes for tensor in tensors), default=0)  # the whole that is gathered or summed
            name = func.name().split("::")[1]
            if "gather" in name or "reduce_scatter" in name or "alltoall" in name or "all_to_all" in name:
                self.sent += size * self.part
        return found


AXES_MEASURED: dict[str, tuple[MeshShape, dict[str, Any] | None]] = {
    "shard": (MeshShape(shard=2), None),
    "tensor": (MeshShape(tensor=2), None),
    "expert": (MeshShape(expert=2), EXPERTS),
}


def measured_work(experts: dict[str, Any] | None) -> PlannedStep:
    model = ModelSettings.model_validate({**SHAPE, "layers": 4, "experts": experts, "context_length": 32})
    return PlannedStep(model, 32, 8, 2, False, False, False)


def measure_traffic(name: str) -> float:
    """Bytes that this rank of two sends in a step's forward and backward passes."""
    shape, experts = AXES_MEASURED[name]
    work = measured_work(experts)
    world = build_world(dist.get_rank(), torch.device("cpu"), shape)
    with torch.device("meta"):
        net = Decoder(work.model)
    module = parallelize(net, world, bf16=False)
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.01)
    source = runs.source(batch_size=8, sequence_length=32)
    batch = source.batch(0, world.reader, shape.readers)
    parts = [causal_inputs(part) for part in batch.split(2)]
    with CountedTraffic(2) as counted:
        accumulate(module, parts, world, experts=work.model.experts)
    return counted.sent


SCRIPT = """
import json, sys
import torch.distributed as dist
from tests.trainer.studies import test_mesh_cost
dist.init_process_group("gloo")
found = {name: test_mesh_cost.measure_traffic(name) for name in test_mesh_cost.AXES_MEASURED}
if dist.get_rank() == 0:
    open(sys.argv[1], "w").write(json.dumps(found))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, float]:
    path: Path = tmp_path_factory.mktemp("traffic") / "sent.json"
    run_ranks(2, SCRIPT, path)
    found: dict[str, float] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("name", AXES_MEASURED)
def test_bytes_sent_are_those_of_the_collectives(measured, name):
    """Within 5%: the head's sums of the loss and a few counts are not in the formula."""
    shape, experts = AXES_MEASURED[name]
    assert sum(count_traffic(measured_work(experts), shape)) == pytest.approx(measured[name], rel=0.05)


def preset(name: str, *changes: str) -> PlannedStep:
    return PlannedStep.of(read_pretrain_settings(name, ["model.vocab_size=32768", *changes]))


def test_claims_of_the_presets():
    """7b: 108 GB of state, which two GPUs of 80 GB hold; 125m: 8 sequences at a time fit into 24 GB."""
    work = preset("7b")
    assert count_memory(work, MeshShape()).state / GB == pytest.approx(108, abs=0.5)
    for gpus in (2, 8):
        assert rank_meshes(work, ClusterSettings(gpus=gpus))[0].memory.total < 72 * GB
    with pytest.raises(UserError, match=r"no mesh of 1 GPUs fits into 80 GB: .* needs 1\d\d\.\d GB"):
        rank_meshes(work, ClusterSettings(gpus=1))
    for name, memory in (("125m", 24), ("1b", 80), ("sparse", 80)):
        for gpus in (1, 8):
            assert rank_meshes(preset(name), ClusterSettings(gpus=gpus, memory=memory))


def test_small_models_are_copied_and_large_ones_are_divided():
    assert rank_meshes(preset("125m"), ClusterSettings(gpus=8))[0].shape == MeshShape(data=8)
    large = preset("7b", "model.layers=80", "model.hidden_size=8192", "model.heads=64", "model.ffn_hidden_size=28672")
    best = rank_meshes(large, ClusterSettings(gpus=64))[0]
    assert best.shape.shard * best.shape.tensor >= 32
    assert best.shape.tensor <= 8


def test_every_proposed_mesh_has_all_gpus_and_divides_the_model():
    work = preset("sparse")
    shapes = list(list_meshes(work, ClusterSettings(gpus=16)))
    assert len(shapes) == len(set(shapes)) > 20
    for shape in shapes:
        assert shape.ranks == 16
        assert work.model.num_kv_heads % shape.tensor == 0
        assert 8 % shape.expert == 0
        assert work.batch_size % shape.readers == 0
