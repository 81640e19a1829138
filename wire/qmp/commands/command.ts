import { readList, type Fields } from '../fields.ts'
import type { QmpObject } from '../value.ts'

/** How the answer of a command is read; `at` is its name, for errors. Throws `QmpReturnError`. */
export type ReadReturn<Return> = (value: unknown, at: string) => Return

/** A row of the table of commands: what it takes (known to the compiler alone) and how its answer is read. */
export interface Command<Arguments extends QmpObject, Return> {
  readonly read: ReadReturn<Return>
  /** Never set; it carries the type. */
  readonly arguments?: Arguments
}

export type NoArguments = Readonly<Record<never, never>>

/** A command whose answer says nothing. */
export function deed<Arguments extends QmpObject = NoArguments>(): Command<Arguments, void> {
  return { read: () => undefined }
}

/** A command that asks and takes no arguments. */
export function question<Return>(read: ReadReturn<Return>): Command<NoArguments, Return> {
  return { read }
}

/** A command that takes arguments and answers. */
export function questionAbout<Arguments extends QmpObject>(): <Return>(
  read: ReadReturn<Return>,
) => Command<Arguments, Return> {
  return (read) => ({ read })
}

/** Reads a list of objects. */
export function listOf<Item>(read: (fields: Fields) => Item): ReadReturn<Item[]> {
  return (value, at) => readList(value, at, read)
}
