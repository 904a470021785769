"""What a command can end with besides success: one line on standard error and an exit code.

CommandError      1  the command was understood and failed
└── SetupError    2  the command line or the environment is wrong; the line says what to do
"""

from typing import ClassVar


class CommandError(Exception):
    """The command failed. The text is the one line that the user sees."""

    exit_code: ClassVar[int] = 1


class SetupError(CommandError):
    """The command line or the environment is wrong."""

    exit_code = 2
