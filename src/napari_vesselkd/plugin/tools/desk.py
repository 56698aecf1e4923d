"""The tool in hand: takes clicks, lets a worker compute what is proposed, shows it, applies or discards it.

There is one desk per Correct tab; it works on the block that is open. The newest click counts: what a worker
was computing for an older one is given up, and the line says so. Strokes of the brush wait for their turn.

Notation: places are (z, y, x) voxels, of the block's layer where the mouse says them, else of the volume.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.block_layer import UNLABELLED, BlockLayer
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.tools.bench import Bench
from napari_vesselkd.plugin.tools.brushing import Brushing, Stroke
from napari_vesselkd.plugin.tools.catalogue import BRUSH, BY_NAME, TOOLS, Kind, Tool, default_options
from napari_vesselkd.plugin.tools.gestures import Place
from napari_vesselkd.plugin.tools.panel import ToolsPanel
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.plugin.tools.proposing import Click
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.plugin.tools.searching import Shown, Walk, all_left, find, first_left
from napari_vesselkd.plugin.tools.state import Hand, draw_tools
from napari_vesselkd.plugin.workers import Task, run

COMPUTING, ALL = "Computing what to propose…", "Putting all together…"
GIVEN_UP = "The newest click counts; the one before is given up."
APPLIED = "Done; Ctrl+Z takes it back."
NOTHING_YET = "Nothing is proposed yet."
NO_VESSEL = "There is no vessel of this block under the click: click on a vessel."
OUTSIDE = "The click is outside of the image: click inside it."
NO_LABEL = "The brush paints vessel or background: press Q or W first."


class ToolDesk(QObject):
    """Puts the tools in the person's hand. `changed`: the hand is another.

    Attributes
    ----------
    hand : Hand
    options : dict of tool's name to dict of option's name to float
    """

    changed = Signal()

    def __init__(self, viewer: Any, session: ProjectSession, drawings: deque[Any], panel: ToolsPanel) -> None:
        super().__init__()
        self._viewer, self._session, self._drawings, self._panel = viewer, session, drawings, panel
        self.hand = Hand()
        self.options: dict[str, dict[str, float]] = {}
        self._sized: object = None
        self._bench: Bench | None = None
        self._task: Task | None = None
        self._brushing = Brushing()
        self._brushing.shown.connect(self._stroke_shown)
        self._brushing.finished.connect(self._stroke_finished)
        self._brushing.failed.connect(self._failed)
        panel.chosen.connect(self.choose)
        panel.pressed.connect(lambda name: getattr(self, name)())
        panel.option_set.connect(self.set_option)

    @property
    def busy(self) -> bool:
        """Whether a worker of the tools is at work."""
        tasks = (self._task, self._brushing.task, self._bench.task if self._bench else None)
        return any(task is not None and task.running for task in tasks)

    @property
    def paints(self) -> bool:
        """Whether the labels of the brush matter: no tool is in hand, or the brush is."""
        return self.hand.tool is None or self.hand.tool.kind is Kind.BRUSH

    @property
    def painting(self) -> str:
        """What has been drawn and is not painted yet, as the tab says it; empty where nothing is."""
        return "Painting the last stroke…" if self._brushing.waiting else ""

    def paint(self, why_not: str) -> None:
        """Show everything; `why_not` says why no tool can be used."""
        self._panel.paint(draw_tools(self.hand, why_not=why_not), self.options)

    # The open block

    def open(self, block: BlockLayer) -> None:
        """Work on `block` from now on."""
        self.close()
        project, volume = self._session.project, self._session.volume
        if project is None or volume is None:
            return
        if self._sized != volume.voxel_size_um:
            self._sized, self.options = volume.voxel_size_um, default_options(volume.voxel_size_um)
        bench = Bench(
            self._viewer,
            block,
            project,
            image=self._session.layer,
            volume=volume,
            drawings=self._drawings,
        )
        self._bench = bench
        bench.edited.connect(self._again)
        bench.failed.connect(self._failed)
        bench.hold.lost.connect(self.leave)
        bench.gestures.clicked.connect(self.click)
        bench.gestures.drawing.connect(lambda places: self._draw(places, self._brushing.draw))
        bench.gestures.drawn.connect(lambda places: self._draw(places, self._brushing.end))
        bench.bind({tool.shortcut: self._chooser(tool.name) for tool in TOOLS})
        block.painter_chosen.connect(self._painter_chosen)

    def close(self, *, gone: bool = False) -> None:
        """Put the tool away and let go of the block, whose layer may be `gone` already."""
        self._give_up()
        self._brushing.stop()
        bench, self._bench = self._bench, None
        if bench is not None:
            bench.block.painter_chosen.disconnect(self._painter_chosen)
            bench.close(gone=gone)
        self.hand = Hand()

    def release(self) -> None:
        """Stop: the dock or the viewer is closing."""
        self._give_up()
        self._brushing.stop()
        if self._bench is not None:
            self._bench.gestures.close()

    # The tool in hand

    def choose(self, name: str) -> None:
        """Take a tool in hand; the one that is in hand is put away."""
        tool, bench = BY_NAME[name], self._bench
        if bench is None or not bench.block.layer.editable:
            return
        if self.hand.tool is tool:
            self.leave()
            return
        self._hold(Hand(tool))
        bench.hold.take(self._keys(), brush=tool.kind is Kind.BRUSH)
        bench.gestures.listening = True
        bench.gestures.strokes = tool.kind is Kind.BRUSH
        bench.gestures.into_hole = tool.name == "fill"
        if tool.kind in (Kind.LIST, Kind.BLOCK):
            self._compute()
        self.changed.emit()

    def leave(self, message: str = "") -> None:
        """Put the tool away."""
        bench = self._bench
        self._hold(Hand(message=message))
        if bench is not None:
            bench.gestures.listening = bench.gestures.strokes = False
            bench.hold.let_go()
        self.changed.emit()

    def set_option(self, tool: str, name: str, value: float) -> None:
        """Set a number of a tool; what it proposes is computed again."""
        self.options[tool][name] = value
        self._again()

    def click(self, place: Place | None, axis: int | None) -> None:
        """Take a click at a place of the block's layer."""
        tool, bench, hand = self.hand.tool, self._bench, self.hand
        if tool is None or bench is None or not tool.wants_clicks:
            return
        point = None if place is None else bench.place(place)
        if point is None:
            self._say(NO_VESSEL if place is None else OUTSIDE)
            return
        over = hand.preview is not None or len(hand.clicks) >= tool.clicks
        clicks = (*(() if over else hand.clicks), Click(point, axis))
        self._hold(Hand(tool, clicks, message=GIVEN_UP if hand.busy else ""))
        bench.mark([click.point for click in clicks])
        if len(clicks) == tool.clicks:
            self._compute()
        self.changed.emit()

    def apply(self) -> None:
        """Make the change that is proposed."""
        bench, hand = self._bench, self.hand
        if bench is None or hand.tool is None:
            return
        if hand.preview is None:
            self._say(hand.busy or NOTHING_YET, problem=False)
        elif not bench.write(hand.preview, hand.tool.name):
            return
        elif hand.walk is not None:
            done = hand.walk.left if hand.all else (hand.walk.at,)
            self._step(replace(hand.walk, applied=(*hand.walk.applied, *done)))
        elif hand.tool.kind is Kind.BLOCK:
            self.leave(APPLIED)
        else:
            self._hold(Hand(hand.tool, message=APPLIED))

    def discard(self) -> None:
        """Leave the block as it is: put away what is proposed or clicked, else the tool."""
        hand = self.hand
        if hand.walk is not None and hand.all:
            self._step(hand.walk)
        elif hand.tool is not None and hand.tool.kind is Kind.CLICKS and (hand.clicks or hand.busy):
            self._hold(Hand(hand.tool))
        else:
            self.leave()

    def reject(self) -> None:
        """Leave the block as it is here, do not ask again, and go on."""
        bench, walk, tool = self._bench, self.hand.walk, self.hand.tool
        if bench is None or walk is None or tool is None or self.hand.preview is None or self.hand.all:
            return
        if bench.reject(tool.name, walk.found[walk.at].changes):
            self._step(replace(walk, rejected=(*walk.rejected, walk.at)))

    def propose_rejected(self) -> None:
        """Propose again what was rejected in this block before."""
        bench, name = self._bench, self.hand.left_out[0]
        if bench is not None and name and bench.block.layer.editable and bench.forget(name):
            self._hold(Hand())
            self.choose(name)

    def another(self) -> None:
        """Go on to the next proposal; this one is decided later."""
        if self.hand.walk is not None and self.hand.preview is not None and not self.hand.all:
            self._step(self.hand.walk.moved())

    def show_all(self) -> None:
        """Propose everything that is left at once."""
        walk = self.hand.walk
        if walk is not None and self.hand.preview is not None and len(walk.left) > 1:
            self._work(ALL, lambda scene: all_left(walk, scene))

    # Computing

    def _compute(self) -> None:
        bench, tool, clicks = self._bench, self.hand.tool, self.hand.clicks
        if bench is None or tool is None:
            return
        options, known = dict(self.options[tool.name]), bench.rejected(tool.name)
        what = tool.steps[0] if tool.kind is Kind.LIST else COMPUTING
        self._work(what, lambda scene: find(tool, scene, clicks, options, known(scene)))

    def _step(self, walk: Walk) -> None:
        """Show the first proposal of a walk that is not decided yet and would change something."""
        self.hand = replace(self.hand, walk=walk)
        self._work(COMPUTING, lambda scene: first_left(walk, scene))

    def _work(self, what: str, find_: Callable[[Scene], Shown]) -> None:
        """Let a worker find what to show of the block as it is now."""
        bench, project = self._bench, self._session.project
        if bench is None or project is None:
            return
        scene = bench.scene()
        self._give_up()
        bench.hide(marks=not self.hand.clicks)
        self.hand = replace(self.hand, busy=what, preview=None, problem="", failure=None, all=False)

        def task() -> Shown:
            project.flush()
            return find_(scene)

        self._task = run(task)
        self._task.done.connect(self._found)
        self._task.failed.connect(self._failed)
        self._task.start()
        self.changed.emit()

    def _found(self, shown: Shown) -> None:
        bench, tool = self._bench, self.hand.tool
        if tool is None or bench is None:
            return
        if shown.left_out:
            self.hand = replace(self.hand, left_out=(tool.name, shown.left_out))
        if shown.preview is None:
            self._nothing(tool, shown.walk)
            return
        self.hand = replace(
            self.hand,
            busy="",
            message="",
            walk=shown.walk,
            all=shown.all,
            preview=shown.preview,
            score=shown.score,
        )
        bench.show(shown.preview, move=shown.walk is not None and not shown.all)
        self.changed.emit()

    def _nothing(self, tool: Tool, walk: Walk | None) -> None:
        """Say that there is nothing (more) to propose."""
        if tool.kind is not Kind.LIST:
            self._refuse(tool.nothing)
            return
        rejected = self.hand.left_out[1] + (0 if walk is None else len(walk.rejected))
        if walk is not None and walk.found:
            accepted = f"{len(walk.applied)} accepted, {len(walk.rejected)} rejected"
            self.leave(f"{tool.title}: all {len(walk.found)} are decided, {accepted}.")
        else:
            self.leave(tool.nothing)
        self.hand = replace(self.hand, left_out=(tool.name, rejected))
        self.changed.emit()

    def _failed(self, failure: Failure) -> None:
        said = f"{failure.headline} {failure.remedy}".strip() if failure.expected else ""
        self._refuse(said, None if failure.expected else failure)

    def _refuse(self, problem: str, failure: Failure | None = None) -> None:
        """Say why there is no proposal; the clicks stay, for other numbers of the tool."""
        hand = self.hand
        self._hold(Hand(hand.tool, hand.clicks, problem=problem, failure=failure))
        if self._bench is not None and hand.clicks:
            self._bench.mark([click.point for click in hand.clicks])

    def _again(self) -> None:
        """Propose again: the block was painted on, something was undone, or a number was set."""
        hand = self.hand
        if hand.tool is None or hand.tool.kind is Kind.BRUSH:
            return
        if hand.walk is not None:
            self._step(hand.walk)
        elif hand.tool.kind is not Kind.CLICKS or len(hand.clicks) == hand.tool.clicks:
            self._compute()

    # The brush

    def _draw(self, places: Sequence[Place], do: Callable[[Stroke, Callable[[], Scene]], None]) -> None:
        bench = self._bench
        if bench is None:
            return
        stroke = bench.stroke(places)
        if stroke.value == UNLABELLED:
            self._say(NO_LABEL)
            return
        do(stroke, bench.scene)

    def _stroke_shown(self, found: Preview | None) -> None:
        if self._bench is None or self.hand.tool is not BRUSH:
            return
        if found is None:
            self._bench.hide()
        else:
            self._bench.show(found)
        self._say("" if found is None else found.text, problem=False)

    def _stroke_finished(self, found: Preview | None) -> None:
        bench = self._bench
        if bench is None:
            return
        if self.hand.tool is BRUSH:
            bench.hide()
        if found is None:
            self._say(BRUSH.nothing)
        elif bench.write(found, BRUSH.name):
            self._say(f"{found.text}\n{APPLIED}", problem=False)

    # The rest

    def _hold(self, hand: Hand) -> None:
        """Change the hand; what is proposed, clicked or computed is forgotten."""
        self._give_up()
        self._brushing.rest()
        self.hand = hand
        if self._bench is not None:
            self._bench.hide()
        self.changed.emit()

    def _give_up(self) -> None:
        if self._task is not None:
            self._task.abandon()
            self._task = None

    def _say(self, text: str, *, problem: bool = True) -> None:
        self.hand = replace(self.hand, problem=text if problem else "", message="" if problem else text)
        self.changed.emit()

    def _painter_chosen(self) -> None:
        if not self.paints:
            self.leave()

    def _chooser(self, name: str) -> Callable[[], None]:
        return lambda: self.choose(name)

    def _keys(self) -> dict[keymap.Shortcut, Callable[[], None]]:
        return {
            keymap.APPLY: self.apply,
            keymap.DISCARD: self.discard,
            keymap.REJECT: self.reject,
            keymap.ANOTHER: self.another,
            keymap.APPLY_ALL: self.show_all,
        }
