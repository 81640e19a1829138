import type { Client } from '@nubo/client'
import type { Operation, SetView } from '@nubo/contracts'
import { waitUntil } from './wait.ts'

const RUN_TIMEOUT_MS = 60_000
const EXEC_TIMEOUT_MS = 60_000

type SetBody = Parameters<Client['setCreate']>[0]['body']

export interface SetAsked extends Partial<Omit<SetBody, 'containers'>> {
  readonly name: string
  readonly network: string
  readonly host?: string
  /** Of the only container, `main`; default: sleeps. */
  readonly command?: string[]
  readonly containers?: SetBody['containers']
}

/** One container as the engine of its host has it. */
export interface EngineContainer {
  readonly id: string
  /** Its name in the set; `pause` for the one that holds the network. */
  readonly name: string
  readonly pid: number
  readonly startedAtMs: number
}

interface Engines {
  containersOf(set: SetView): Promise<EngineContainer[]>
}

export interface Executed {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

// Sleeps until it is told to end; `sleep` as the first process of a container would ignore SIGTERM.
const SLEEP = ['sh', '-c', 'trap "exit 0" TERM INT; while :; do sleep 1000 & wait $!; done']
export const SERVE = ['httpd', '-f', '-p', '80', '-h', '/www']

/** What somebody with a project of a cloud does. */
export class Tenant {
  readonly client: Client
  readonly #engines: Engines

  constructor(engines: Engines, client: Client) {
    this.#engines = engines
    this.client = client
  }

  /** A network with subnets by name. */
  async network(name: string, cidr: string, subnets: Record<string, string>): Promise<void> {
    await this.client.networkCreate({ body: { name, cidr } })
    for (const [subnet, range] of Object.entries(subnets))
      await this.client.subnetCreate({ body: { network: name, name: subnet, cidr: range } })
  }

  create(asked: SetAsked): Promise<Operation> {
    const { host, command, containers, placement, ...body } = asked
    return this.client.setCreate({
      body: {
        cpuMillis: 200,
        memoryBytes: 32 * 2 ** 20,
        ...body,
        containers: containers ?? [
          { name: 'main', image: 'busybox', command: command ?? SLEEP, stopTimeoutMs: 1_000 },
        ],
        placement: { ...placement, ...(host === undefined ? {} : { host }) },
      },
    })
  }

  ended(operation: Operation): Promise<Operation> {
    return this.client.waitOperation(operation.id, { signal: AbortSignal.timeout(RUN_TIMEOUT_MS) })
  }

  async done(operation: Operation): Promise<void> {
    const { kind, state, reason, resource } = await this.ended(operation)
    if (state !== 'done')
      throw new Error(`${kind} of ${resource.name} ended ${state}: ${JSON.stringify(reason)}`)
  }

  /** Creates a set and waits until it runs. */
  async run(asked: SetAsked): Promise<SetView> {
    await this.done(await this.create(asked))
    return this.show(asked.name)
  }

  show(name: string): Promise<SetView> {
    return this.client.setShow({ params: { id: name } })
  }

  waitSet(name: string, isSo: (set: SetView) => boolean, timeoutMs = 30_000): Promise<SetView> {
    return waitUntil(() => this.show(name), isSo, {
      timeoutMs,
      what: `set ${name}: ${String(isSo)}`,
    })
  }

  isRunning(name: string, timeoutMs?: number): Promise<SetView> {
    return this.waitSet(name, ({ state }) => state === 'running', timeoutMs)
  }

  async remove(...names: string[]): Promise<void> {
    const operations = await Promise.all(
      names.map((id) => this.client.setRemove({ params: { id } })),
    )
    for (const operation of operations) await this.done(operation)
  }

  /** Removes all sets. */
  async clear(): Promise<void> {
    const sets = await this.client.listAll('setList')
    await this.remove(...sets.filter(({ state }) => state !== 'removing').map(({ id }) => id))
    await waitUntil(
      () => this.client.listAll('setList'),
      (left) => left.length === 0,
      { timeoutMs: RUN_TIMEOUT_MS, what: 'all sets are gone' },
    )
  }

  /** Runs a program in a set to its end. */
  async exec(
    set: string,
    command: string[],
    options: { container?: string; stdin?: string; tty?: boolean } = {},
  ): Promise<Executed> {
    const { stdin, ...asked } = options
    const ticket = await this.client.setExec({
      params: { id: set },
      body: { command, stdin: stdin !== undefined, ...asked },
    })
    const signal = AbortSignal.timeout(EXEC_TIMEOUT_MS)
    const stream = await this.client.openStream(ticket, { signal })
    if (stdin !== undefined) {
      await stream.write(Buffer.from(stdin))
      stream.endStdin()
    }
    const printed = { stdout: '', stderr: '' }
    for await (const { channel, bytes } of stream.output)
      printed[channel] += Buffer.from(bytes).toString('latin1')
    const { exitCode, error } = await stream.ended
    if (error !== null) throw new Error(`exec in ${set}: ${error.code}: ${error.message}`)
    return { exitCode, ...printed }
  }

  /** Whether a set reaches an address by ping: one of three is enough. */
  async reaches(set: string, address: string): Promise<boolean> {
    const { exitCode } = await this.exec(set, [
      'ping',
      '-q',
      '-c',
      '3',
      '-i',
      '0.2',
      '-w',
      '3',
      '-W',
      '1',
      address,
    ])
    return exitCode === 0
  }

  /** The answer of a web server to a set, with its head. */
  async fetch(set: string, address: string): Promise<string> {
    // Debian's static busybox crashes in its wget, so the request is said by hand.
    const request = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${address} 80`
    return (await this.exec(set, ['sh', '-c', request])).stdout
  }

  /** Its containers in the engine of its host. */
  async containersOf(set: string): Promise<EngineContainer[]> {
    return this.#engines.containersOf(await this.show(set))
  }
}
