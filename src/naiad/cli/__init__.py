# SPDX-License-Identifier: Apache-2.0
"""The command `naiad`: one file for each of its commands. The topmost room: may import everything below it.

The files of the commands are imported when they are run, so that `naiad --help` stays quick.
"""
