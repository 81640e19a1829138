import {
  everyRow,
  insert,
  mutate,
  optionalNumberOf,
  optionalTextOf,
  refer,
  referNamed,
  textMapOf,
  textOf,
  textsOf,
  theRow,
  update,
  uuidsOf,
  type Operation,
  type Replica,
  type Row,
  type Uuid,
  type WriteRow,
} from '@nubo/wire-ovsdb'

import { SwitchError } from '../switch-driver.ts'
import type { OpenVswitchConfig } from './config.ts'

/** What the driver reads of the switch's database. */
export const SWITCH_TABLES = {
  Open_vSwitch: ['bridges', 'next_cfg', 'cur_cfg'],
  Bridge: ['name', 'ports', 'datapath_type', 'fail_mode', 'protocols', 'controller'],
  Port: ['name', 'interfaces', 'external_ids'],
  Interface: [
    'name',
    'type',
    'options',
    'ofport',
    'ofport_request',
    'error',
    'external_ids',
    'mac_in_use',
    'ifindex',
  ],
} as const

// 1.4 brought bundles, 1.5 is what ovs-ofctl of later releases prefers; 1.0 and 1.3 are for people with ovs-ofctl's defaults.
const PROTOCOLS = ['OpenFlow10', 'OpenFlow13', 'OpenFlow14', 'OpenFlow15'] as const

/** The row of a table whose column `name` is this. Names are unique in Bridge, Port and Interface. */
export function rowByName(
  replica: Replica,
  table: 'Bridge' | 'Port' | 'Interface',
  name: string,
): { readonly uuid: Uuid; readonly row: Row } | undefined {
  for (const [uuid, row] of replica.table(table)) {
    if (textOf(row, 'name') === name) return { uuid, row }
  }
  return undefined
}

/**
 * What makes the bridge and its tunnel port as configured; nothing if they are. Pure.
 * Throws `host_not_ready` if the tunnel's name is used on another bridge.
 */
export function bridgeOperations(replica: Replica, config: OpenVswitchConfig): Operation[] {
  const bridge = rowByName(replica, 'Bridge', config.bridge)
  const tunnel = rowByName(replica, 'Interface', config.tunnel.portName)
  if (bridge === undefined) {
    if (tunnel !== undefined) throw tunnelElsewhere(config)
    return [...newTunnel(config), ...newBridge(config)]
  }
  const operations: Operation[] = []
  if (!isBridgeAsWanted(bridge.row, config)) {
    operations.push(update('Bridge', theRow(bridge.uuid), bridgeSettings(config)))
  }
  if (tunnel === undefined) {
    operations.push(...newTunnel(config), addPort(bridge.uuid, 'tunnel_port'))
  } else {
    const port = rowByName(replica, 'Port', config.tunnel.portName)
    if (port === undefined || !uuidsOf(bridge.row, 'ports').has(port.uuid)) {
      throw tunnelElsewhere(config)
    }
    if (!isTunnelAsWanted(tunnel.row, config)) {
      operations.push(update('Interface', theRow(tunnel.uuid), tunnelSettings(config)))
    }
  }
  return operations
}

/** Adds a port that the same transaction inserts under this name. */
export function addPort(bridge: Uuid, portUuidName: string): Operation {
  return mutate('Bridge', theRow(bridge), [['ports', 'insert', [referNamed(portUuidName)]]])
}

/** Asks the switch to say (in cur_cfg) when it has done what the transaction changes. */
export function askForReceipt(): Operation {
  return mutate('Open_vSwitch', everyRow, [['next_cfg', '+=', 1]])
}

/** Takes a port away; its row and its interface's go with it. */
export function removePort(bridge: Uuid, port: Uuid): Operation {
  return mutate('Bridge', theRow(bridge), [['ports', 'delete', [refer(port)]]])
}

function newBridge(config: OpenVswitchConfig): Operation[] {
  const { bridge } = config
  return [
    insert('Interface', { name: bridge, type: 'internal' }, 'local_interface'),
    insert('Port', { name: bridge, interfaces: [referNamed('local_interface')] }, 'local_port'),
    insert(
      'Bridge',
      {
        name: bridge,
        ...bridgeSettings(config),
        ports: [referNamed('local_port'), referNamed('tunnel_port')],
      },
      'new_bridge',
    ),
    mutate('Open_vSwitch', everyRow, [['bridges', 'insert', [referNamed('new_bridge')]]]),
  ]
}

function newTunnel(config: OpenVswitchConfig): Operation[] {
  const name = config.tunnel.portName
  return [
    insert('Interface', { name, ...tunnelSettings(config) }, 'tunnel_interface'),
    insert('Port', { name, interfaces: [referNamed('tunnel_interface')] }, 'tunnel_port'),
  ]
}

function bridgeSettings(config: OpenVswitchConfig): WriteRow {
  return {
    datapath_type: config.datapathType,
    // Without flows nothing passes: a restarted switch must not bridge tenants together.
    fail_mode: ['secure'],
    protocols: PROTOCOLS,
    // Adding the first or removing the last controller deletes every flow; ours are set through <bridge>.mgmt.
    controller: [],
  }
}

function isBridgeAsWanted(row: Row, config: OpenVswitchConfig): boolean {
  const protocols = textsOf(row, 'protocols')
  return (
    textOf(row, 'datapath_type') === config.datapathType &&
    optionalTextOf(row, 'fail_mode') === 'secure' &&
    protocols.size === PROTOCOLS.length &&
    PROTOCOLS.every((protocol) => protocols.has(protocol)) &&
    uuidsOf(row, 'controller').size === 0
  )
}

function tunnelSettings(config: OpenVswitchConfig): WriteRow {
  return {
    type: 'vxlan',
    options: tunnelOptions(config),
    ofport_request: [config.tunnel.ofport],
  }
}

function tunnelOptions(config: OpenVswitchConfig): ReadonlyMap<string, string> {
  return new Map([
    ['remote_ip', 'flow'],
    ['key', 'flow'],
    ['local_ip', config.vtepAddress],
    ['dst_port', String(config.tunnel.udpPort)],
  ])
}

function isTunnelAsWanted(row: Row, config: OpenVswitchConfig): boolean {
  const wanted = tunnelOptions(config)
  const found = textMapOf(row, 'options')
  return (
    textOf(row, 'type') === 'vxlan' &&
    found.size === wanted.size &&
    Array.from(wanted).every(([key, value]) => found.get(key) === value) &&
    optionalNumberOf(row, 'ofport_request') === config.tunnel.ofport
  )
}

function tunnelElsewhere(config: OpenVswitchConfig): SwitchError {
  const name = config.tunnel.portName
  return new SwitchError('host_not_ready', `the tunnel's name ${name} is used elsewhere`, {
    details: { name, next: `remove port ${name} from the other bridge` },
  })
}
