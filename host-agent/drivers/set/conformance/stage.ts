import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError, type ErrorCode } from '@nubo/base'
import type {
  ExecStream,
  FoundContainer,
  FoundSet,
  ImageReference,
  RegistryToken,
  SetContainerSpec,
  SetDriver,
  SetInterfaceSpec,
  SetSpec,
} from '../set-driver.ts'
import { setSpecHash } from '../spec-rules.ts'
import { plainContainer } from '../testing/plain-container.ts'

/** A driver under test, and the means to do to its host what happens to hosts. */
export interface SetRig {
  readonly driver: SetDriver
  /** A second driver of the same engine: a later life of the agent. */
  readonly again: () => SetDriver
  readonly image: ImageReference
  readonly absentImage: ImageReference
  readonly auth: () => Promise<RegistryToken>
  /** Commands of containers. */
  readonly commands: {
    readonly run: readonly string[]
    readonly exit: (exitCode: number) => readonly string[]
    /** Writes each text as a line of stdout, then runs on. */
    readonly print: (...texts: string[]) => readonly string[]
    readonly refused: readonly string[]
  }
  /** Commands for `exec`. */
  readonly execs: {
    readonly echo: (text: string) => readonly string[]
    /** Writes the text as a line of stderr. */
    readonly fail: (exitCode: number, text: string) => readonly string[]
    readonly cat: readonly string[]
    readonly hang: readonly string[]
  }
  /** Interfaces that no other set of the test has. */
  readonly interfaces: (number: number) => readonly SetInterfaceSpec[]
  /** Ends the main process of a container from outside. */
  readonly endContainer: (setId: string, container: string) => Promise<void>
  readonly endSandbox: (setId: string) => Promise<void>
  /** Kills the engine; sets run on. */
  readonly killEngine: () => Promise<void>
  readonly startEngine: () => Promise<void>
  readonly dispose: () => Promise<void>
}

/** Longer than anything takes on a busy machine. */
export const WAIT_MS = 30_000

/** Looks until there is something to see. */
export async function until<T>(what: string, look: () => Promise<T | null | false>): Promise<T> {
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const seen = await look()
    if (seen !== null && seen !== false) return seen
    if (performance.now() > deadline) throw new Error(`not within ${WAIT_MS} ms: ${what}`)
    await sleep(10)
  }
}

/** For `assert.rejects`. */
export function hasCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof PlatformError, String(error))
    assert.equal(error.code, code)
    return true
  }
}

/** All that a program writes. */
export async function textOf(stream: ExecStream): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' }
  for await (const { stream: name, bytes } of stream.output)
    text[name] += Buffer.from(bytes).toString()
  return text
}

/** The driver that a suite is about, and the sets that its tests make of it. */
export class Stage {
  #rig: SetRig | null = null
  #count = 0

  /** Set up before the tests run. */
  open(rig: SetRig): void {
    this.#rig = rig
  }

  get rig(): SetRig {
    if (this.#rig === null) throw new Error('the stage is not open yet')
    return this.#rig
  }

  get driver(): SetDriver {
    return this.rig.driver
  }

  container(change: Partial<SetContainerSpec> = {}): SetContainerSpec {
    return plainContainer({ image: this.rig.image, command: this.rig.commands.run, ...change })
  }

  /** A set of its own for each call. */
  spec(change: Partial<SetSpec> = {}): SetSpec {
    this.#count += 1
    const content = {
      name: 'web',
      hostname: 'web',
      cpuMillis: 500,
      memoryBytes: 64 * 2 ** 20,
      pidsMax: 200,
      shmBytes: 1024 * 1024,
      containers: [this.container()],
      interfaces: this.rig.interfaces(this.#count),
      ...change,
    }
    const setId = `0190a000-0001-7000-8000-${String(this.#count).padStart(12, '0')}`
    return { setId, epoch: 1, ...content, specHash: change.specHash ?? setSpecHash(content) }
  }

  /** A set whose containers all have been started. */
  async started(change: Partial<SetSpec> = {}): Promise<SetSpec> {
    const set = this.spec(change)
    await this.driver.startSandbox(set)
    for (const { name } of set.containers) await this.driver.startContainer(set, name)
    return set
  }

  async found(setId: string): Promise<FoundSet> {
    const set = await this.driver.find(setId)
    assert.ok(set !== null, 'the set is there')
    return set
  }

  async foundContainer(setId: string, name = 'main'): Promise<FoundContainer> {
    const set = await this.found(setId)
    const one = set.containers.find((candidate) => candidate.name === name)
    assert.ok(one !== undefined, `container ${name} is there`)
    return one
  }

  async untilState(setId: string, state: FoundContainer['state']): Promise<FoundContainer> {
    return await until(`the container is ${state}`, async () => {
      const one = await this.foundContainer(setId)
      return one.state === state ? one : null
    })
  }
}
