import { blockCommands } from './commands/block.ts'
import type { Command } from './commands/command.ts'
import { deviceCommands } from './commands/devices.ts'
import { displayCommands } from './commands/display.ts'
import { machineCommands } from './commands/machine.ts'
import { memoryCommands } from './commands/memory.ts'
import { migrationCommands } from './commands/migration.ts'
import type { QmpObject } from './value.ts'

/**
 * Every command that `QmpClient.run` knows: what it takes, in QEMU's own words, and how its answer is read. TO ADD ONE,
 * put a row into the file of its noun. Commands that hand over file descriptors (`getfd`, `add-fd`) cannot be here,
 * because Node cannot send SCM_RIGHTS.
 */
export const commands = {
  ...machineCommands,
  ...deviceCommands,
  ...blockCommands,
  ...memoryCommands,
  ...displayCommands,
  ...migrationCommands,
}

export type QmpCommandName = keyof typeof commands

/** What a command takes. */
export type QmpArguments<Name extends QmpCommandName> =
  (typeof commands)[Name] extends Command<infer Arguments extends QmpObject, unknown>
    ? Arguments
    : never

/** What `QmpClient.run` gives back for a command. */
export type QmpReturn<Name extends QmpCommandName> = ReturnType<(typeof commands)[Name]['read']>
