"""Two ranks on one GPU, where nccl refuses: gloo sends tensors of the GPU, with the right values and gradients."""

import os
import socket
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from kdvideo.distributed import gather, gather_with_gradient, mean_over_ranks, process_group, rank, wait_for_all

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

NUM_RANKS = 2


def run_rank(number: int, port: int, folder: Path) -> None:
    """Exchanges tensors of every kind that a run sends."""
    os.environ.update(RANK=str(number), WORLD_SIZE=str(NUM_RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    with process_group():
        own = torch.full((2, 3), float(rank()), device="cuda", requires_grad=True)
        gathered = gather_with_gradient(own)
        ((rank() + 1) * gathered.sum()).backward()
        torch.manual_seed(0)
        layer = DistributedDataParallel(nn.Linear(3, 1, bias=False).cuda(), broadcast_buffers=False)
        layer(own.detach() + 1).mean().backward()
        total = torch.tensor([rank() + 1.0], device="cuda")
        distributed.all_reduce(total)
        wait_for_all()
        found = {
            "backend": distributed.get_backend_config(),
            "gathered": gathered.detach().cpu(),
            "gradient": own.grad.cpu(),
            "numbers": gather(torch.tensor([rank()], device="cuda")).tolist(),
            "weight": layer.module.weight.grad.cpu(),
            "total": total.item(),
            "mean": mean_over_ranks(torch.tensor([float(rank())], device="cuda")).tolist(),
        }
        torch.save(found, folder / f"{number}.pt")


def test_two_ranks_on_one_gpu(tmp_path: Path):
    """The gradient of what was gathered is the sum over both losses, 1 + 2; DDP's is the mean of 1 and 2."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(run_rank, args=(port, tmp_path), nprocs=NUM_RANKS)
    for number in range(NUM_RANKS):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert found["backend"] == "cpu:gloo,cuda:gloo"
        assert found["gathered"].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert found["gradient"].tolist() == [[3.0] * 3] * 2
        assert found["weight"].tolist() == [[1.5] * 3]
        assert (found["numbers"], found["total"], found["mean"]) == ([0, 1], 3.0, [0.5])
