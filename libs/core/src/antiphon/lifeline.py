"""How a program learns that whoever started it has died: the reading end of a pipe that only the parent writes to."""

import asyncio
import os


async def parent_gone(descriptor: int) -> None:
    """Returns once the other end of the pipe is closed, which the kernel does however the parent ends."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
