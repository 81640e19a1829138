/**
 * A bridge that is configured by hand, in the same ovs-vswitchd as the cloud's own: the peer that throughput is
 * compared with, and the floor of every port. It has only the flows that its two guests need.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { vtepMac } from '@nubo/base'
import { connectOpenFlow, type Flow, type OpenFlowClient } from '@nubo/wire-openflow'
import {
  callUnixctl,
  connectOvsdb,
  insert,
  mutate,
  optionalNumberOf,
  refer,
  referNamed,
  textOf,
  theRow,
  type Operation,
  type OvsdbConnection,
  type Uuid,
} from '@nubo/wire-ovsdb'
import type { StageHost } from './stage.ts'

const BRIDGE = 'br-hand'
const TUNNEL = 'hx0'
const TUNNEL_OFPORT = 1_000
/** The cloud's tunnels have 4789. */
const TUNNEL_UDP_PORT = '4790'
const VNI = 5_000
const READY_TIMEOUT_MS = 10_000
const READY_LOOK_MS = 2

/** An address that is reached through a port of this switch, or of another. */
export interface Neighbour {
  readonly mac: string
  readonly at: { readonly ofport: number } | { readonly vtep: string }
}

export class HandSwitch {
  readonly #ovsdb: OvsdbConnection
  readonly #openflow: OpenFlowClient

  private constructor(ovsdb: OvsdbConnection, openflow: OpenFlowClient) {
    this.#ovsdb = ovsdb
    this.#openflow = openflow
  }

  /** Makes the bridge on a host and tells its switch the other tunnel end. */
  static async on(host: StageHost, other: StageHost): Promise<HandSwitch> {
    const ovsdb = connectOvsdb({
      path: host.folders.switchSocket,
      database: 'Open_vSwitch',
      tables: {
        Open_vSwitch: ['bridges'],
        Bridge: ['name', 'ports'],
        Port: ['name'],
        Interface: ['name', 'ofport'],
      },
      random: Math.random,
    })
    await ovsdb.whenReady(READY_TIMEOUT_MS)
    await ovsdb.transact(bridgeOperations(host.vtep, onlyRow(ovsdb, 'Open_vSwitch')))
    await untilOpen(ovsdb, TUNNEL)
    const control = join(host.folders.run, 'ovs-vswitchd.ctl')
    await callUnixctl(control, 'tnl/neigh/set', ['br-phy', other.vtep, vtepMac(other.vtep)])
    const openflow = await connectOpenFlow(HandSwitch.socketOn(host))
    return new HandSwitch(ovsdb, openflow)
  }

  /** Where ovs-ofctl and others speak OpenFlow with it. */
  static socketOn(host: StageHost): string {
    return join(host.folders.run, `${BRIDGE}.mgmt`)
  }

  get openflow(): OpenFlowClient {
    return this.#openflow
  }

  /** The one transaction that plugs a device; resolves when the database has it, not yet the switch. */
  async plug(name: string, ofport: number): Promise<void> {
    await this.#ovsdb.transact([
      insert('Interface', { name, ofport_request: [ofport] }, 'new_interface'),
      insert('Port', { name, interfaces: referNamed('new_interface') }, 'new_port'),
      mutate('Bridge', theRow(rowNamed(this.#ovsdb, 'Bridge', BRIDGE)), [
        ['ports', 'insert', referNamed('new_port')],
      ]),
    ])
  }

  /** Resolves when the switch has opened a plugged device. */
  async plugged(name: string): Promise<void> {
    await untilOpen(this.#ovsdb, name)
  }

  async unplug(name: string): Promise<void> {
    const port = refer(rowNamed(this.#ovsdb, 'Port', name))
    await this.#ovsdb.transact([
      mutate('Bridge', theRow(rowNamed(this.#ovsdb, 'Bridge', BRIDGE)), [
        ['ports', 'delete', port],
      ]),
    ])
  }

  /** Lets the port `from` of this switch, and the tunnel, reach these neighbours. */
  async forward(from: number, neighbours: readonly Neighbour[]): Promise<void> {
    const flows = [classify({ inPort: from }), classify({ inPort: TUNNEL_OFPORT, tunId: VNI })]
    for (const { mac, at } of neighbours) flows.push(deliver(mac, at))
    await this.#openflow.applyBundle(flows.map((flow) => ({ type: 'add', flow })))
  }

  /** Takes all flows away. */
  async clear(): Promise<void> {
    await this.#openflow.applyBundle([{ type: 'deleteByCookie', cookie: 0n, cookieMask: 0n }])
  }

  /** Takes the bridge away. */
  async close(): Promise<void> {
    this.#openflow.close()
    const bridge = refer(rowNamed(this.#ovsdb, 'Bridge', BRIDGE))
    const top = theRow(onlyRow(this.#ovsdb, 'Open_vSwitch'))
    await this.#ovsdb.transact([mutate('Open_vSwitch', top, [['bridges', 'delete', bridge]])])
    this.#ovsdb.close()
  }
}

function bridgeOperations(vtep: string, top: Uuid): Operation[] {
  const options = new Map([
    ['key', 'flow'],
    ['remote_ip', 'flow'],
    ['local_ip', vtep],
    ['dst_port', TUNNEL_UDP_PORT],
  ])
  const tunnel = { name: TUNNEL, type: 'vxlan', options, ofport_request: [TUNNEL_OFPORT] }
  const bridge = {
    name: BRIDGE,
    datapath_type: 'netdev',
    fail_mode: ['secure'],
    ports: new Set([referNamed('local_port'), referNamed('tunnel_port')]),
  }
  return [
    insert('Interface', { name: BRIDGE, type: 'internal' }, 'local_interface'),
    insert('Port', { name: BRIDGE, interfaces: referNamed('local_interface') }, 'local_port'),
    insert('Interface', tunnel, 'tunnel_interface'),
    insert('Port', { name: TUNNEL, interfaces: referNamed('tunnel_interface') }, 'tunnel_port'),
    insert('Bridge', bridge, 'bridge'),
    mutate('Open_vSwitch', theRow(top), [['bridges', 'insert', referNamed('bridge')]]),
  ]
}

const base = { cookie: 0n, priority: 100 } as const

function classify(match: Flow['match']): Flow {
  const actions: Flow['actions'] = [
    { type: 'setField', field: 'reg0', value: VNI },
    { type: 'resubmit', table: 10 },
  ]
  return { ...base, table: 0, match, actions }
}

function deliver(mac: string, at: Neighbour['at']): Flow {
  const actions: Flow['actions'] =
    'ofport' in at
      ? [{ type: 'output', port: at.ofport }]
      : [
          { type: 'setField', field: 'tunId', value: VNI },
          { type: 'setField', field: 'tunDst', value: at.vtep },
          { type: 'output', port: TUNNEL_OFPORT },
        ]
  return { ...base, table: 10, match: { reg0: VNI, ethDst: mac }, actions }
}

function rowNamed(ovsdb: OvsdbConnection, table: 'Bridge' | 'Port', name: string): Uuid {
  for (const [uuid, row] of ovsdb.replica.table(table))
    if (textOf(row, 'name') === name) return uuid
  throw new Error(`the switch has no ${table} ${name}`)
}

function onlyRow(ovsdb: OvsdbConnection, table: string): Uuid {
  for (const uuid of ovsdb.replica.table(table).keys()) return uuid
  throw new Error(`table ${table} is empty`)
}

async function untilOpen(ovsdb: OvsdbConnection, name: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < READY_TIMEOUT_MS; waitedMs += READY_LOOK_MS) {
    for (const row of ovsdb.replica.table('Interface').values())
      if (textOf(row, 'name') === name && (optionalNumberOf(row, 'ofport') ?? 0) > 0) return
    await sleep(READY_LOOK_MS)
  }
  throw new Error(`the switch does not open ${name}`)
}
