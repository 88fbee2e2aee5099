"""Where a network runs."""

from __future__ import annotations

import torch

from xiqa.errors import ConfigError

__all__ = ["choose_device"]


def choose_device(name: str = "cpu") -> torch.device:
    """The device of a name, which must be there.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``, ..., or ``auto`` for an accelerator where there is one.

    Raises:
        ConfigError: There is no such device.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("no such device", expected="auto, cpu, cuda or cuda:N", got=repr(name)) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(
            f"no device {name}",
            expected=f"cuda:0 to cuda:{count - 1}" if count else "cpu, the only one that PyTorch sees here",
            todo="install a PyTorch build for the accelerator, or leave --device out",
        )
    return device
