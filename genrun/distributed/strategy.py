"""Train on several devices (DDP): each rank computes on its share of every batch, and together they get the whole batch's gradient."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from genrun.compat import set_backend, start_no_processes
from genrun.maths.sharding import sharing
from genrun.system.random_state import random_states, restore_random_states

# Rank 0 draws and judges samples while the others wait. genrun.distributed.launcher notices a rank that died, not this timeout.
COLLECTIVE_TIMEOUT = timedelta(hours=6)


class RankEnvironment(ClusterEnvironment):
    """The environment of one rank, all on this machine. genrun.distributed.launcher starts the processes, not Lightning."""

    def __init__(self, rank: int, processes: int) -> None:
        super().__init__()
        self.rank, self.processes = rank, processes

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0  # not used: the store exists before Lightning would need a port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.processes

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.rank

    def node_rank(self) -> int:
        return 0


class SharedBatches(DDPStrategy):
    r"""The strategy in which P ranks share each batch. Rank r has b_r of the b images, with mean loss L_r, and minimises

        P b_r / b · L_r

    DDP gives every rank the mean of the ranks' gradients. That mean is the gradient of the batch's mean loss,
    Σ_r b_r / b · L_r, however uneven the shares are.

    Args:
        environment: the rank of this process.

    Attributes:
        store: the store by which the ranks find each other; set before the training.
        cpu_group: a process group on the CPU for messages between the ranks, which need not wait for a GPU.
    """

    def __init__(self, environment: RankEnvironment) -> None:
        # every rank computes the same buffers, so there is nothing to broadcast
        super().__init__(cluster_environment=environment, broadcast_buffers=False, timeout=COLLECTIVE_TIMEOUT)
        self.environment = environment
        self.store: distributed.Store | None = None
        self.cpu_group: distributed.ProcessGroup | None = None
        start_no_processes(self)

    def setup_distributed(self) -> None:
        """Join the process group, and take over rank 0's random states.

        Unlike Lightning's version, this leaves the random streams as they were after the method was built.
        """
        self.set_world_ranks()
        cuda = self.root_device.type == "cuda"
        backend = "nccl" if cuda else "gloo"
        set_backend(self, backend)
        distributed.init_process_group(
            backend,
            store=self.store,
            rank=self.environment.rank,
            world_size=self.environment.processes,
            timeout=COLLECTIVE_TIMEOUT,
            device_id=self.root_device if cuda else None,
        )
        self.cpu_group = distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
        states = [random_states()]
        distributed.broadcast_object_list(states, src=0, group=self.cpu_group, device=torch.device("cpu"))
        restore_random_states(states[0])

    def batch_to_device(self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0) -> Any:
        trainer = self.lightning_module.trainer
        if not trainer.training:
            return super().batch_to_device(batch, device, dataloader_idx)
        # Lightning counts the batch only after this; the data module may draw random numbers for its images
        with sharing(trainer.train_dataloader.sampler.share(trainer.fit_loop.batch_idx + 1)):
            return super().batch_to_device(batch, device, dataloader_idx)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        trainer = self.lightning_module.trainer
        share = trainer.train_dataloader.sampler.share(trainer.fit_loop.batch_idx)
        with sharing(share):
            loss = super().training_step(*args, **kwargs)
        return loss * (share.processes * share.weight)

    def validation_step(self, batch: Any, batch_idx: int, *args: Any, **kwargs: Any) -> Any:
        with self._sharing_validation(batch_idx):
            return super().validation_step(batch, batch_idx, *args, **kwargs)

    def _sharing_validation(self, batch_idx: int) -> AbstractContextManager[None]:
        return sharing(self.lightning_module.trainer.val_dataloaders.sampler.share(batch_idx))

    def rank_zero_values(self, *own: int) -> list[int]:
        """Return rank 0's numbers, in every rank."""
        values = torch.tensor(own)
        distributed.broadcast(values, src=0, group=self.cpu_group)
        return values.tolist()


def rank_zero_values(trainer: pl.Trainer, *own: int) -> list[int]:
    """Return rank 0's numbers in every rank; on one device, return `own`.

    Signals and clocks differ between ranks, but all ranks must do the same thing at the same batch.
    """
    return trainer.strategy.rank_zero_values(*own) if isinstance(trainer.strategy, SharedBatches) else list(own)
