import type { Flow } from '@nubo/wire-openflow'
import { hashObjectId, packCookie, type ObjectKind } from './cookies.ts'
import type { Feature, Row } from './features/feature.ts'
import { features } from './features/features.ts'
import { tableNames, tableNumber } from './pipeline.ts'
import type { SliceIndex } from './slice-index.ts'
import type { ObjectKey } from './slice.ts'

type RowsOf = (feature: Feature) => Row[] | undefined

/** All flows that an object owns in this slice; none if it is not there. */
export function composeObject(index: SliceIndex, key: ObjectKey, round: number): readonly Flow[] {
  if (key === 'host') {
    return compose('host', '', round, (feature) => feature.host?.(index.tunnel))
  }
  const id = key.slice(key.indexOf('/') + 1)
  if (key.startsWith('network/')) {
    const network = index.network(id)
    if (network === undefined) return []
    return compose('network', id, round, (feature) => feature.network?.(network, index.tunnel))
  }
  if (key.startsWith('subnet/')) {
    const subnet = index.subnet(id)
    if (subnet === undefined) return []
    return compose('subnet', id, round, (feature) => feature.subnet?.(subnet))
  }
  return composePort(index, id, round)
}

function composePort(index: SliceIndex, portId: string, round: number): readonly Flow[] {
  const port = index.port(portId)
  if (port === undefined) return []
  const subnet = index.subnet(port.item.subnetId)
  if (subnet === undefined) throw new Error(`port ${portId} is indexed without its subnet`)
  return compose(port.kind, portId, round, (feature) =>
    port.kind === 'localPort'
      ? feature.localPort?.(port.item, subnet)
      : feature.remotePort?.(port.item, subnet),
  )
}

function compose(kind: ObjectKind, id: string, round: number, rowsOf: RowsOf): readonly Flow[] {
  const object = kind === 'host' ? 0 : hashObjectId(id)
  const flows: Flow[] = []
  for (const feature of features) {
    const rows = rowsOf(feature)
    if (rows === undefined) continue
    const cookie = packCookie({ round, feature: feature.name, kind, object })
    for (const row of rows) flows.push(toFlow(row, cookie))
  }
  return flows
}

function toFlow(row: Row, cookie: bigint): Flow {
  const table = tableNumber(row.table)
  for (const [place, action] of row.actions.entries()) {
    if (action.type !== 'goto') continue
    if (action.table > table && place === row.actions.length - 1) continue
    const to = tableNames.get(action.table) ?? action.table
    throw new Error(`table ${row.table}: goto ${to} is not forward, or not the last action`)
  }
  return { table, priority: row.priority, cookie, match: row.match, actions: row.actions }
}
