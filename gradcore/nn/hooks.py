"""Forward hooks: functions that a module calls before and after its `forward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[..., Any]


class Handle:
    """What registering a hook gives: `remove()` takes the hook off again, and so does the end of a `with` block."""

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Take the hook off; once more does nothing."""
        for i, hook in enumerate(self._hooks):
            if hook is self._hook:
                del self._hooks[i]
                return

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, in the order in which they were registered."""

    def __init__(self) -> None:
        self.before: list[Hook] = []
        self.after: list[Hook] = []

    def inputs(self, module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs as the first hooks change them."""
        for hook in tuple(self.before):
            changed = hook(module, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        return inputs

    def output(self, module: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """The output as the last hooks change it."""
        for hook in tuple(self.after):
            changed = hook(module, inputs, output)
            if changed is not None:
                output = changed
        return output
