import type { CommandContext, ListShape } from '../context.ts'
import { atOnce, changeEach } from '../follow.ts'
import { age } from '../output/values.ts'

/** A thing of which a name is all there is to say. */
interface Named {
  readonly id: string
  readonly name: string
  readonly createdAtMs: number
}

export function namedShape<Item extends Named>(
  { surroundings: { clock } }: CommandContext,
  empty: string,
): ListShape<Item> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'ID', value: ({ id }) => id, isWhole: true },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ name }) => name,
    empty,
  }
}

/** Removes each; the others are tried where one cannot be. */
export function removeEach<Item extends Named>(
  context: CommandContext,
  names: string[],
  { noun, remove }: { noun: string; remove: (id: string) => Promise<Item> },
): Promise<void> {
  return changeEach(context, names, atOnce(remove), {
    nameOf: ({ name }) => name,
    text: ({ name }) => `${noun} ${name} removed\n`,
  })
}
