"""Tests of one file in one process, and none is lost when a process dies."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


class FileScheduler(LoadFileScheduling):
    """pytest-xdist 3.8 hangs after a crash, by a file of which no test is left, or by one that is the last of all."""

    def remove_node(self, node: WorkerController) -> str | None:
        """The test in which the process died, if it did, which is not run again; the others of its files wait."""
        work = self.assigned_work.pop(node)
        crashed = next((name for file in work.values() for name, done in file.items() if not done), None)
        for scope, file in work.items():
            left = {name: done for name, done in file.items() if not done and name != crashed}
            if left:
                self.workqueue[scope] = left
        for each in self.assigned_work:
            self._reschedule(each)
        return crashed

    def schedule(self) -> None:
        """Gives the processes work; a process runs its last test only when it knows that no other follows."""
        super().schedule()
        if not self.workqueue:
            for node in self.nodes:
                node.shutdown()
