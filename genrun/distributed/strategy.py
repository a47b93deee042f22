"""Training on several devices: each process a share of every batch, and together the gradient of the whole (DDP)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from genrun.maths.sharding import sharing
from genrun.system.random_state import random_states, restore_random_states

# Process 0 looks at samples and judges them while the others wait. One that died is noticed by `genrun.ranks`, not by this.
COLLECTIVE_TIMEOUT = timedelta(hours=6)


class RankEnvironment(ClusterEnvironment):
    """One of the processes of this machine that share each batch; `genrun.ranks` starts them, and Lightning none."""

    def __init__(self, rank: int, processes: int) -> None:
        super().__init__()
        self.rank, self.processes = rank, processes

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0  # the store is there before Lightning would look for one

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
    r"""Each of P processes has b_r of a batch's b images and the mean loss L_r of them, of which it descends

        P b_r / b · L_r

    so that the mean gradient of the processes, which DDP gives each of them, is that of the batch's mean loss, Σ_r b_r / b · L_r, however
    uneven the shares are.

    Args:
        environment: which rank this process is.

    Attributes:
        store: by which the processes find each other; set before the training.
        side: a group on the processor for words between them, which wait for no GPU.
    """

    def __init__(self, environment: RankEnvironment) -> None:
        # buffers are computed alike everywhere, so there is nothing to broadcast
        super().__init__(cluster_environment=environment, broadcast_buffers=False, timeout=COLLECTIVE_TIMEOUT)
        self.environment = environment
        self.store: distributed.Store | None = None
        self.side: distributed.ProcessGroup | None = None

    def _configure_launcher(self) -> None:
        """None: Lightning would start the command again."""

    def setup_distributed(self) -> None:
        """Meet the other processes; unlike Lightning's, this leaves the random streams where the method's making left them."""
        self.set_world_ranks()
        cuda = self.root_device.type == "cuda"
        self._process_group_backend = "nccl" if cuda else "gloo"
        distributed.init_process_group(
            self._process_group_backend,
            store=self.store,
            rank=self.environment.rank,
            world_size=self.environment.processes,
            timeout=COLLECTIVE_TIMEOUT,
            device_id=self.root_device if cuda else None,
        )
        self.side = distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
        states = [random_states()]
        distributed.broadcast_object_list(states, src=0, group=self.side, device=torch.device("cpu"))
        restore_random_states(states[0])

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
        """Numbers of process 0, in every process."""
        told = torch.tensor(own)
        distributed.broadcast(told, src=0, group=self.side)
        return told.tolist()


def rank_zero_values(trainer: pl.Trainer, *own: int) -> list[int]:
    """What process 0 says, where several train; signals and clocks are its own, and all must do the same at the same batch."""
    return trainer.strategy.rank_zero_values(*own) if isinstance(trainer.strategy, SharedBatches) else list(own)
