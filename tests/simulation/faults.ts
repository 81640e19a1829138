import { unreachable } from '@nubo/base'
import { SERVERS, type Action } from './action.ts'
import type { Change } from './callers.ts'
import type { HostMachine } from './host-machine.ts'
import type { Observer } from './observer.ts'

import type { SimulatedRegion } from './simulated-region.ts'
import type { SimulatedServer } from './simulated-server.ts'

export type Fault = Exclude<Action, Change>

/** Makes one fault happen; those that last end by themselves. */
export function inflict(region: SimulatedRegion, observer: Observer, fault: Fault): void {
  const { clock } = region
  const nowMs = clock.monotonicMs()
  const disturb = (forMs: number): void => {
    region.disturbedUntilMs = Math.max(region.disturbedUntilMs, nowMs + forMs)
  }
  switch (fault.do) {
    case 'end-container':
      return endContainer(hostAt(region, fault.host), fault.which)
    case 'kill-server': {
      disturb(fault.downMs + 30_000)
      return killServer(region, serverAt(region, fault.server), fault)
    }
    case 'kill-agent':
      return killAgent(region, hostAt(region, fault.host), fault)
    case 'pause-server':
      disturb(fault.forMs)
      return serverAt(region, fault.server).process.pause(fault.forMs)
    case 'pause-agent':
      return hostAt(region, fault.host).agent.pause(fault.forMs)
    case 'break-connections':
      return region.network.reset(hostAt(region, fault.host).name)
    case 'cut':
      return cut(region, fault)
    case 'cut-underlay':
      return cutUnderlay(region, fault)
    case 'power-off':
      for (const index of fault.hosts) powerCycle(region, hostAt(region, index), fault.offMs)
      return
    case 'jump-clock':
      if (fault.of === 'server') {
        disturb(0)
        observer.wallClockJumped()
        serverAt(region, fault.which).clock.offsetMs += fault.byMs
      } else hostAt(region, fault.which).clock.offsetMs += fault.byMs
      return
    case 'full-disk':
      return hostAt(region, fault.host).disk.fill(fault.forMs)
    case 'slow-disk':
      return hostAt(region, fault.host).disk.slow(fault.forMs)
    case 'slow-engine':
      return hostAt(region, fault.host).slowEngine(fault.maxMs, fault.forMs)
    case 'engine-down': {
      const { setHost } = hostAt(region, fault.host).simulated
      setHost.takeDown()
      clock.after(fault.forMs, () => setHost.bringUp())
      return
    }
    case 'database-restart':
      disturb(fault.downMs + 10_000)
      return region.database.restart(fault.downMs)
    case 'database-cut':
      disturb(fault.forMs + 30_000)
      return region.database.cut(serverAt(region, fault.server).process, fault.forMs, fault.how)
    case 'database-slow':
      disturb(fault.forMs)
      return region.database.slow(fault.maxMs, fault.forMs)
    case 'database-full':
      disturb(fault.forMs)
      return region.database.fill(fault.forMs)
    case 'power-control':
      return region.power.be(fault.how, fault.forMs)
    case 'operator-fences':
      return operatorFences(region, observer, fault)
    default:
      return unreachable(fault)
  }
}

/** Everything that was broken is whole again. */
export async function healAll(region: SimulatedRegion): Promise<void> {
  region.network.healAll()
  region.database.heal()
  region.power.heal()
  for (const server of region.servers) {
    // A kill that still waited for its point comes no more.
    server.process.disarm()
    server.process.resume()
  }
  for (const host of region.hosts) {
    host.agent.disarm()
    host.heal()
  }
  for (const server of region.servers) await region.during(region.startServer(server))
}

function hostAt(region: SimulatedRegion, index: number): HostMachine {
  const host = region.hosts[index % region.hosts.length]
  if (host === undefined) throw new Error('there are no hosts')
  return host
}

function serverAt(region: SimulatedRegion, index: number): SimulatedServer {
  const server = region.servers[index % SERVERS]
  if (server === undefined) throw new Error('there are no servers')
  return server
}

function endContainer(host: HostMachine, which: number): void {
  const running = [...host.running()]
  const set = running[which % Math.max(1, running.length)]
  if (set === undefined || !host.simulated.isRunning) return
  const containers = [...(host.simulated.setHost.sets.get(set.setId)?.containers.keys() ?? [])]
  const name = containers[which % Math.max(1, containers.length)]
  if (name !== undefined) host.simulated.setDriver.endContainer(set.setId, name, { exitCode: 1 })
}

function killServer(
  region: SimulatedRegion,
  server: SimulatedServer,
  how: { points: number; downMs: number },
): void {
  const { process } = server
  const kill = (): void => {
    if (!process.isAlive) return
    region.killServer(server)
    region.clock.after(how.downMs, () => void region.startServer(server))
  }
  if (how.points === 0) kill()
  else process.armKill(how.points, kill)
}

function killAgent(
  region: SimulatedRegion,
  host: HostMachine,
  how: { points: number; downMs: number },
): void {
  const { agent } = host
  const kill = (): void => {
    if (!agent.isAlive) return
    host.killAgent()
    region.clock.after(how.downMs, () => host.startAgent())
  }
  if (how.points === 0) kill()
  else agent.armKill(how.points, kill)
}

function powerCycle(region: SimulatedRegion, host: HostMachine, offMs: number): void {
  host.powerOff()
  region.clock.after(offMs, () => host.powerOn())
}

/** An operator who has seen that a machine is off says so. */
function operatorFences(
  region: SimulatedRegion,
  observer: Observer,
  fault: Extract<Fault, { do: 'operator-fences' }>,
): void {
  const host = hostAt(region, fault.host)
  if (host.isPowered) return
  region
    .request(
      'hostFence',
      { params: { id: host.name }, body: { confirmOff: true } },
      serverAt(region, fault.server),
    )
    .catch((error: unknown) => observer.reportDefect(error))
}

function cut(region: SimulatedRegion, fault: Extract<Fault, { do: 'cut' }>): void {
  const { network } = region
  const servers = fault.server === undefined ? region.servers : [serverAt(region, fault.server)]
  for (const index of fault.hosts) {
    const { name } = hostAt(region, index)
    for (const server of servers) {
      if (fault.way !== 'to-hosts') network.block(name, server.name, fault.forMs)
      if (fault.way !== 'to-servers') network.block(server.name, name, fault.forMs)
    }
  }
}

function cutUnderlay(region: SimulatedRegion, fault: Extract<Fault, { do: 'cut-underlay' }>): void {
  for (const index of fault.hosts) {
    const { name } = hostAt(region, index)
    for (const other of region.hosts) {
      if (other.name === name) continue
      region.network.block(`underlay/${name}`, `underlay/${other.name}`, fault.forMs)
      region.network.block(`underlay/${other.name}`, `underlay/${name}`, fault.forMs)
    }
  }
}
