import { parseSchema, Replica, toUuid, type Uuid } from '@nubo/wire-ovsdb'

import { SWITCH_TABLES } from '../open-vswitch/bridge.ts'

const text = { type: 'string' }
const oneText = { type: { key: 'string', min: 0, max: 1 } }
const oneNumber = { type: { key: 'integer', min: 0, max: 1 } }
const texts = { type: { key: 'string', min: 0, max: 'unlimited' } }
const rows = { type: { key: 'uuid', min: 0, max: 'unlimited' } }
const textMap = { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } }

// The columns that the driver reads, with the types of vswitch.ovsschema 8.3.
const SCHEMA = {
  name: 'Open_vSwitch',
  version: '8.3.1',
  tables: {
    Open_vSwitch: {
      columns: { bridges: rows, next_cfg: { type: 'integer' }, cur_cfg: { type: 'integer' } },
    },
    Bridge: {
      columns: {
        name: text,
        ports: rows,
        datapath_type: text,
        fail_mode: oneText,
        protocols: texts,
        controller: rows,
      },
    },
    Port: { columns: { name: text, interfaces: rows, external_ids: textMap } },
    Interface: {
      columns: {
        name: text,
        type: text,
        options: textMap,
        ofport: oneNumber,
        ofport_request: oneNumber,
        error: oneText,
        external_ids: textMap,
        mac_in_use: oneText,
        ifindex: oneNumber,
      },
    },
  },
}

/** A replica with the driver's tables, filled by `update` with rows in wire form. */
export function emptyReplica(): Replica {
  const replica = new Replica(SWITCH_TABLES)
  replica.adopt(parseSchema(SCHEMA))
  return replica
}

/** A UUID that ends in this number. */
export function uuid(number: number): Uuid {
  return toUuid(`00000000-0000-4000-8000-${String(number).padStart(12, '0')}`)
}
