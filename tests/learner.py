"""Drives the Learn tab as a person would."""

from qtpy.QtCore import Qt

from fake_learning import DONE, allow
from napari_vesselkd.plugin.goals import Goal


class Learner:
    """Drives the Learn tab as a person would."""

    def __init__(self, dock, qtbot):
        self.dock, self.qtbot, self.tab = dock, qtbot, dock.learn
        dock.show_tab("Learn")

    @property
    def panel(self):
        return self.tab.panel

    @property
    def gate(self):
        return self.tab.panel.gate

    @property
    def job(self):
        return self.tab.job

    def open(self, path):
        with self.qtbot.waitSignal(self.dock.session.opened, timeout=60_000):
            self.dock.session.open(path)
        self.settle()
        return self.dock.session.project

    def settle(self):
        """Wait until every worker of the tab has answered."""
        self.qtbot.waitUntil(lambda: not self.tab.busy, timeout=60_000)

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def teach(self, preset="quick"):
        """Choose to teach a new student and wait until the pre-flight is there."""
        self.click(self.panel.goal.goals[Goal.TEACH])
        self.panel.goal.preset.setCurrentIndex(self.panel.goal.preset.findData(preset))
        self.settle()

    def start(self):
        """Press Start and wait until the job is there; return its run folder."""
        before = self.job.path if self.job is not None else None
        self.click(self.panel.start)
        started = lambda: self.job is not None and self.job.path != before  # noqa: E731
        self.wait(lambda: started() or self.shown(self.panel.error))
        assert started(), self.panel.error.details.box.toPlainText()
        return self.job.path

    def wait(self, condition):
        self.qtbot.waitUntil(condition, timeout=90_000)

    def wait_for(self, state):
        self.wait(lambda: self.job is not None and self.job.state == state)

    def learn(self):
        """Learn to the end; return the run folder."""
        run = self.start()
        allow(run, DONE)
        self.wait_for("finished")
        self.settle()
        return run

    def shown(self, widget):
        return widget.isVisibleTo(self.dock)
