/** A whole lab as its supervisor holds it: underlay, control side, hosts. All changes go through here, one at a time. */
import { readFileSync } from 'node:fs'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import { createClient, type Client } from '@nubo/client'
import type { Log } from '@nubo/runtime'
import type { LabCgroups } from './cgroups.ts'
import { Control } from './control.ts'
import type { LabHome } from './home.ts'
import { LabHostMachine, type Cable } from './lab-host.ts'
import { openRedfish, type PowerState, type RedfishService } from './redfish.ts'
import { writeState, type LabHost, type LabState } from './state.ts'
import { allDone, doStep, type Tell } from './steps.ts'
import type { SupervisedProgram } from './supervised.ts'
import { Underlay, underlayPlan } from './underlay.ts'
import { waitUntil } from './wait.ts'

const POWER_USER = 'lab'
const HOSTS_READY_TIMEOUT_MS = 60_000
const HOSTS_READY_POLL_MS = 100
// An agent that ended this often before it was ready will not get there.
const AGENT_RESTARTS_MAX = 3

export interface CloudOptions {
  home: LabHome
  state: LabState
  cgroups: LabCgroups
  nodeEnvironment: Readonly<Record<string, string>>
  clock: Clock
  random: Random
  log: Log
}

export class Cloud {
  readonly control: Control
  readonly underlay: Underlay
  readonly #options: CloudOptions
  readonly #hosts = new Map<string, LabHostMachine>()
  #state: LabState
  #isUp = false
  #redfish: RedfishService | undefined
  readonly #powerPassword: string
  #busyWith: string | undefined
  /** Of hosts that were switched on: the boot that the control plane knew before. */
  readonly #bootsBefore = new Map<string, string | null>()

  constructor(options: CloudOptions) {
    this.#options = options
    this.#state = options.state
    this.#powerPassword = Buffer.from(options.random.bytes(24)).toString('base64url')
    this.underlay = new Underlay(options.home.id, underlayPlan(options.state.underlayIndex))
    this.control = new Control({ ...options, serverAddress: this.underlay.plan.serverAddress })
    for (const host of options.state.hosts) this.#addMachine(host)
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get busyWith(): string | undefined {
    return this.#busyWith
  }

  get hosts(): readonly { record: LabHost; machine: LabHostMachine }[] {
    return this.#state.hosts.map((record) => ({ record, machine: this.machine(record.name) }))
  }

  get programs(): readonly SupervisedProgram[] {
    return [...this.control.programs, ...this.hosts.flatMap(({ machine }) => machine.programs)]
  }

  /** Throws NOT_FOUND for a host that this lab does not have. */
  machine(name: string): LabHostMachine {
    const machine = this.#hosts.get(name)
    if (machine !== undefined) return machine
    throw new PlatformError(
      'NOT_FOUND',
      { kind: 'host', host: name, hosts: [...this.#hosts.keys()] },
      { message: `This lab has no host ${name}; it has ${[...this.#hosts.keys()].join(', ')}.` },
    )
  }

  /**
   * Everything on and every cable in, with at least `hosts` hosts, all of them ready, and their power under control of
   * the servers if so wanted. Idempotent. When the first call fails, all it started is ended again.
   */
  async bringUp(
    hosts: readonly LabHost[],
    tell: Tell,
    options: { power: boolean } = { power: true },
  ): Promise<void> {
    await this.#exclusively('up', async () => {
      const wasUp = this.#isUp
      try {
        if (!wasUp) await doStep(tell, 'underlay network', () => this.underlay.make())
        for (const host of hosts.filter(({ name }) => !this.#hosts.has(name))) {
          this.#save({ ...this.#state, hosts: [...this.#state.hosts, host] })
          this.#addMachine(host)
        }
        const control = this.#startControl(tell)
        const machines = this.hosts.map(({ machine }) => this.#bringHostUp(machine, control, tell))
        await allDone([control, ...machines])
        await doStep(tell, 'hosts ready', () => this.#waitForHosts())
        await doStep(tell, 'power control', () => this.#controlPower(options.power))
        this.#isUp = true
      } catch (error) {
        if (!wasUp) await this.#stopAll(false)
        throw error
      }
    })
  }

  /** As if the plug of a host were pulled. Idempotent. */
  async powerOff(name: string): Promise<void> {
    await this.#exclusively(`power-off ${name}`, () => this.machine(name).powerOff())
  }

  async powerOn(name: string): Promise<void> {
    await this.#exclusively(`power-on ${name}`, async () => {
      const machine = this.machine(name)
      await machine.powerOn()
      await machine.startAgent()
    })
  }

  async cut(name: string, cables: readonly Cable[]): Promise<void> {
    await this.#exclusively(`cut ${name}`, () => this.machine(name).cut(cables))
  }

  async heal(name: string): Promise<void> {
    await this.#exclusively(`heal ${name}`, () => this.machine(name).heal())
  }

  /** Ends everything: agents politely, then hosts, then servers, the database last. */
  async stop(tell: Tell): Promise<void> {
    await this.#exclusively('down', () =>
      doStep(tell, 'ending everything', () => this.#stopAll(true)),
    )
  }

  /** With the token of the operator, which exists once the control side has been prepared. */
  client(): Client {
    const { home, clock, random } = this.#options
    const token = readFileSync(home.operatorTokenFile, 'utf8').trim()
    return createClient({ servers: this.control.apiAddresses, token, clock, random })
  }

  async #startControl(tell: Tell): Promise<void> {
    const { control } = this
    if (this.#state.databaseUrl === undefined && control.database.state.at === 'off') {
      await doStep(tell, 'database', () => control.database.turnOn())
    }
    if (
      control.servers.some((server) => server.state.at === 'off') ||
      control.registry.state.at === 'off'
    ) {
      await doStep(tell, 'keys and tables', () => control.prepare())
      await doStep(tell, 'servers and registry', () => control.startServers())
    }
  }

  async #bringHostUp(machine: LabHostMachine, control: Promise<void>, tell: Tell): Promise<void> {
    if (machine.isOn && machine.agent.state.at !== 'off') {
      await machine.heal()
      await control
      return
    }
    // Its failure, too, is waited for by the caller; here only the order matters.
    control.catch(() => undefined)
    await doStep(tell, `${machine.name}: switch and container engine`, () => machine.powerOn())
    await control
    await doStep(tell, `${machine.name}: agent`, async () => {
      await this.#join(machine)
      await machine.startAgent()
    })
  }

  /** Invites and joins a host that is not a member yet, or no more. */
  async #join(machine: LabHostMachine): Promise<void> {
    const record = this.#state.hosts.find(({ name }) => name === machine.name)
    if (record === undefined) throw new Error(`no record of host ${machine.name}`)
    const client = this.client()
    const members = await client.listAll('hostList')
    const member = members.find((host) => host.name === record.name)
    this.#bootsBefore.set(record.name, member?.bootId ?? null)
    if (record.joined && member !== undefined && member.state !== 'invited') return
    const { name, zone, rack } = record
    const { token } = await client.hostInvite({ body: { name, zone, rack } })
    await machine.join(token)
    this.#save({
      ...this.#state,
      hosts: this.#state.hosts.map((host) =>
        host.name === name ? { ...host, joined: true } : host,
      ),
    })
  }

  async #waitForHosts(): Promise<void> {
    const client = this.client()
    const wanted = this.hosts
    let waiting: string[] = []
    const isReady = async (): Promise<boolean> => {
      for (const { machine } of wanted) {
        const { state } = machine.agent
        if (state.at === 'waiting' && machine.agent.restarts >= AGENT_RESTARTS_MAX) {
          throw new PlatformError(
            'SETUP_FAILED',
            {
              host: machine.name,
              next: `see ${this.#options.home.logOf(`${machine.name}-agent`)}`,
            },
            { message: `The agent of ${machine.name} keeps ending: ${state.reason}` },
          )
        }
      }
      const found = await client.listAll('hostList')
      waiting = wanted
        .map(({ record }) => ({
          name: record.name,
          host: found.find(({ name }) => name === record.name),
        }))
        // A host that was ready before its agent was started anew may still be called so.
        .filter(
          ({ name, host }) =>
            host?.state !== 'ready' || host.bootId === (this.#bootsBefore.get(name) ?? ''),
        )
        .map(
          ({ name, host }) =>
            `${name} is ${host?.state ?? 'unknown'}${host?.reason ? ` (${host.reason.text})` : ''}`,
        )
      return waiting.length === 0
    }
    try {
      await waitUntil('all hosts are ready', isReady, {
        timeoutMs: HOSTS_READY_TIMEOUT_MS,
        pollMs: HOSTS_READY_POLL_MS,
      })
    } catch (cause) {
      if (waiting.length === 0) throw cause
      throw new PlatformError(
        'SETUP_FAILED',
        { waiting, next: `see the logs in ${this.#options.home.log}` },
        { message: `Not all hosts became ready: ${waiting.join('; ')}`, cause },
      )
    }
  }

  async #stopAll(politely: boolean): Promise<void> {
    const { cgroups } = this.#options
    this.#isUp = false
    await this.#redfish?.close()
    this.#redfish = undefined
    await allDone(this.hosts.map(({ machine }) => machine.powerOff({ politely })))
    await this.control.stop()
    await cgroups.kill('control')
    await this.underlay.remove()
  }

  /** Tells the servers where the controllers of the hosts are, or that there are none. */
  async #controlPower(wanted: boolean): Promise<void> {
    const client = this.client()
    if (!wanted) {
      const members = await client.listAll('hostList')
      for (const { name, power } of members)
        if (power !== null) await client.hostPowerClear({ params: { id: name } })
      return
    }
    const password = this.#powerPassword
    const redfish = (this.#redfish ??= await openRedfish({
      user: POWER_USER,
      password,
      machines: {
        names: () => [...this.#hosts.keys()],
        powerState: (name) => powerStateOf(this.#hosts.get(name)),
        powerOff: (name) => this.powerOff(name),
      },
    }))
    await allDone(
      [...this.#hosts.keys()].map(async (name) => {
        const body = { redfish: redfish.addressOf(name), user: POWER_USER, password }
        await client.hostPowerSet({ params: { id: name }, body })
      }),
    )
  }

  #addMachine(host: LabHost): void {
    const { home, cgroups, clock, random, log, nodeEnvironment } = this.#options
    const number = Number(host.name.slice(1))
    const machine = new LabHostMachine({
      name: host.name,
      number,
      underlay: this.underlay,
      cgroups,
      folders: home.host(host.name),
      caFile: home.caFile,
      agent: {
        plan: this.underlay.plan,
        hostContractPorts: this.#state.ports.hostContract,
        number,
        hosts: () => this.#state.hosts.length,
        nodeEnvironment,
      },
      logOf: (program) => home.logOf(program),
      clock,
      random,
      log,
    })
    this.#hosts.set(host.name, machine)
  }

  #save(state: LabState): void {
    writeState(this.#options.home, state)
    this.#state = state
  }

  async #exclusively(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#busyWith !== undefined) {
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { next: 'wait until it has ended, then run the same command again' },
        { message: `The lab is busy with "${this.#busyWith}".` },
      )
    }
    this.#busyWith = what
    try {
      await work()
    } finally {
      this.#busyWith = undefined
    }
  }
}

function powerStateOf(machine: LabHostMachine | undefined): PowerState | undefined {
  if (machine === undefined) return undefined
  if (machine.isGoingOff) return 'PoweringOff'
  return machine.isOn ? 'On' : 'Off'
}
