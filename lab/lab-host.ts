/** One server of the lab: a network namespace with its own switch, container engine and agent, and a power button. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import { start, type Log } from '@nubo/runtime'
import {
  agentProgram,
  joinHost,
  leaseGuardProgram,
  type AgentSurroundings,
} from './agent-program.ts'
import type { LabCgroups } from './cgroups.ts'
import type { HostFolders } from './home.ts'
import {
  containerEngine,
  containerRuntime,
  databaseOfSwitch,
  namespacePath,
  switchDaemon,
  type EngineSpec,
  type HostEngineOptions,
} from './host-programs.ts'
import { lastLines, rotateLog } from './logs.ts'
import { HOSTS_MAX } from './state.ts'
import { shimSockets, unmountBelow } from './leftovers.ts'
import { allDone } from './steps.ts'
import { SupervisedProgram } from './supervised.ts'
import type { Underlay } from './underlay.ts'

const AGENT_GRACE_MS = 4_000

export interface LabHostOptions {
  name: string
  /** Counts from 1; its addresses follow from it. */
  number: number
  underlay: Underlay
  cgroups: LabCgroups
  folders: HostFolders
  caFile: string
  agent: AgentSurroundings
  logOf: (program: string) => string
  clock: Clock
  random: Random
  log: Log
}

export type Cable = 'mgmt' | 'data'

export class LabHostMachine {
  readonly name: string
  readonly #options: LabHostOptions
  readonly #engines: readonly SupervisedProgram[]
  readonly #guard: SupervisedProgram
  readonly #agent: SupervisedProgram
  readonly #engineOptions: HostEngineOptions
  #isOn = false
  #isGoingOff = false
  readonly #cut = new Set<Cable>()

  constructor(options: LabHostOptions) {
    this.name = options.name
    this.#options = options
    this.#engineOptions = {
      host: options.name,
      namespace: options.underlay.namespaceOf(options.name),
      vtepAddress: options.underlay.plan.vtepAddress(options.number),
      vtepAddresses: Array.from({ length: HOSTS_MAX }, (_, index) =>
        options.underlay.plan.vtepAddress(index + 1),
      ),
      folders: options.folders,
      cgroupParent: options.cgroups.parentOf(options.name),
      caFile: options.caFile,
    }
    this.#engines = [databaseOfSwitch, switchDaemon, containerRuntime, containerEngine].map(
      (spec) => this.#supervise(spec(this.#engineOptions)),
    )
    this.#guard = this.#supervise(leaseGuardProgram(this.#engineOptions, options.agent))
    this.#agent = this.#supervise(agentProgram(this.#engineOptions, options.agent))
  }

  get isOn(): boolean {
    return this.#isOn
  }

  /** On its way off, so that something of it may still run. */
  get isGoingOff(): boolean {
    return this.#isGoingOff
  }

  get cutCables(): readonly Cable[] {
    return [...this.#cut]
  }

  get programs(): readonly SupervisedProgram[] {
    return [...this.#engines, this.#guard, this.#agent]
  }

  get agent(): SupervisedProgram {
    return this.#agent
  }

  get managementAddress(): string {
    return this.#options.underlay.plan.managementAddress(this.#options.number)
  }

  get vtepAddress(): string {
    return this.#options.underlay.plan.vtepAddress(this.#options.number)
  }

  /** Plugs it in and starts its engines, not its agent. Idempotent. What fails is taken back. */
  async powerOn(): Promise<void> {
    if (this.#isOn) return
    const { underlay, name, number, folders } = this.#options
    this.#isOn = true
    try {
      for (const folder of [folders.disk, folders.docker, folders.containerd, folders.run]) {
        mkdirSync(folder, { recursive: true, mode: 0o711 })
      }
      // The kernel's own boot id does not change when this host is switched off and on.
      writeFileSync(folders.bootIdFile, `${randomUUID()}\n`)
      await underlay.makeHost(name, number)
      const [database, daemon, runtime, engine] = this.#engines
      // One after the other in each pair, the pairs side by side.
      await allDone([turnOnInOrder(database, daemon), turnOnInOrder(runtime, engine)])
    } catch (cause) {
      await this.powerOff()
      throw cause
    }
  }

  /** Gets its agent a certificate with a token of `nubo host invite`. */
  async join(token: string): Promise<void> {
    this.#requireOn()
    const { underlay, cgroups, name, agent } = this.#options
    await joinHost(this.#engineOptions, agent, token, {
      netns: namespacePath(underlay.namespaceOf(name)),
      cgroups: cgroups.enter(`${name}/system`),
    })
  }

  /** With the guard of its lease. */
  async startAgent(): Promise<void> {
    this.#requireOn()
    await this.#guard.turnOn()
    await this.#agent.turnOn()
  }

  /**
   * As if its plug were pulled: everything of it, containers included, is killed at once, and what a reboot would
   * clear is cleared. `politely` gives the agent a moment to write its state first. Idempotent.
   */
  async powerOff(options: { politely?: boolean } = {}): Promise<void> {
    this.#isGoingOff = true
    try {
      await this.#endEverything(options)
    } finally {
      this.#isGoingOff = false
    }
  }

  async #endEverything(options: { politely?: boolean }): Promise<void> {
    const { cgroups, underlay, name, folders } = this.#options
    this.#isOn = false
    this.#cut.clear()
    if (options.politely === true) await this.#agent.turnOff({ graceMs: AGENT_GRACE_MS })
    const sockets = shimSockets(folders.run)
    // First nothing is started again, then everything is ended; a program that starts just now is in the group too.
    const off = Promise.all(this.programs.map((program) => program.turnOff({ graceMs: 0 })))
    await cgroups.kill(name)
    await off
    await cgroups.kill(name)
    for (const socket of sockets) rmSync(socket, { force: true })
    await unmountBelow(folders.run)
    await unmountBelow(folders.disk)
    await underlay.removeHost(name)
    rmSync(folders.run, { recursive: true, force: true })
  }

  /** Pulls cables out. Idempotent. */
  async cut(cables: readonly Cable[]): Promise<void> {
    this.#requireOn()
    await this.#options.underlay.setCables(this.name, cables, 'down')
    for (const cable of cables) this.#cut.add(cable)
  }

  /** Plugs all cables in again. Idempotent. */
  async heal(): Promise<void> {
    this.#requireOn()
    await this.#options.underlay.setCables(this.name, ['mgmt', 'data'], 'up')
    this.#cut.clear()
  }

  #requireOn(): void {
    if (this.#isOn) return
    throw new PlatformError(
      'NOT_ALLOWED_NOW',
      { host: this.name, next: `nubo lab power-on ${this.name}` },
      { message: `Host ${this.name} is switched off.` },
    )
  }

  #supervise(spec: EngineSpec): SupervisedProgram {
    const { underlay, cgroups, clock, random, log, name } = this.#options
    const programName = `${name}-${spec.name}`
    const logFile = this.#options.logOf(programName)
    return new SupervisedProgram({
      name: programName,
      start: async () => {
        await spec.prepare?.()
        rotateLog(logFile)
        return start({
          argv: spec.argv,
          env: spec.env,
          logFile,
          netns: namespacePath(underlay.namespaceOf(name)),
          cgroups: cgroups.enter(`${name}/system`),
        })
      },
      ready: spec.ready,
      lastWords: () => lastLines(logFile),
      clock,
      random,
      log,
    })
  }
}

async function turnOnInOrder(
  ...programs: readonly (SupervisedProgram | undefined)[]
): Promise<void> {
  for (const program of programs) await program?.turnOn()
}
