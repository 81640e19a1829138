/** Surroundings of a program in a terminal that only exists in memory. */
import { PassThrough, Writable } from 'node:stream'
import { seededRandom } from '@nubo/base'
import { testClock } from '@nubo/client/testing'
import type { ForwardedSignal, Surroundings } from '../surroundings.ts'

export interface FakeTerminal {
  readonly surroundings: Surroundings
  readonly printed: { stdout: string; stderr: string }
  /** Whether the keys came raw, each time it changed. */
  readonly rawModes: boolean[]
  type(keys: string): void
  /** Nothing more is typed. */
  endInput(): void
  resize(columns: number, rows: number): void
  /** False if the program does not listen, so that the signal would have ended it. */
  signal(name: ForwardedSignal): boolean
}

export function fakeTerminal(options: {
  argv?: readonly string[]
  env?: Readonly<Record<string, string>>
  homeFolder?: string
  isTty?: boolean
}): FakeTerminal {
  const isTTY = options.isTty ?? true
  const printed = { stdout: '', stderr: '' }
  const rawModes: boolean[] = []
  const size = { columns: 80, rows: 24 }
  const resizers = new Set<() => void>()
  const signals = new Map<ForwardedSignal, Set<() => void>>()
  const output = (channel: 'stdout' | 'stderr'): Writable =>
    Object.defineProperties(
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          printed[channel] += chunk.toString()
          done()
        },
      }),
      {
        isTTY: { value: isTTY },
        columns: { get: () => (isTTY ? size.columns : undefined) },
        rows: { get: () => (isTTY ? size.rows : undefined) },
      },
    )
  const stdin = Object.assign(new PassThrough(), {
    isTTY,
    setRawMode: (isRaw: boolean) => rawModes.push(isRaw),
  })
  const surroundings: Surroundings = {
    argv: options.argv ?? [],
    env: options.env ?? {},
    homeFolder: options.homeFolder ?? '/nonexistent',
    stdin,
    stdout: output('stdout'),
    stderr: output('stderr'),
    clock: testClock(),
    random: seededRandom(1),
    onSignal: (name, fire) => {
      const listeners = signals.get(name) ?? new Set()
      signals.set(name, listeners.add(fire))
      return () => void listeners.delete(fire)
    },
    onResize: (fire) => {
      resizers.add(fire)
      return () => void resizers.delete(fire)
    },
  }
  return {
    surroundings,
    printed,
    rawModes,
    type: (keys) => void stdin.write(keys),
    endInput: () => void stdin.end(),
    resize: (columns, rows) => {
      Object.assign(size, { columns, rows })
      for (const fire of resizers) fire()
    },
    signal: (name) => {
      const listeners = [...(signals.get(name) ?? [])]
      for (const fire of listeners) fire()
      return listeners.length > 0
    },
  }
}
