import type { Fields } from '../fields.ts'
import type { QmpObject, QmpValue } from '../value.ts'
import { deed, listOf, question, questionAbout } from './command.ts'

/** The options of a driver are its own (`-device DRIVER,help`). */
export type DeviceOptions = QmpObject & {
  readonly driver: string
  readonly id?: string
  readonly bus?: string
}

/** `type` is tap, hubport, user, vhost-user …; the others are its own options. */
export type NetdevOptions = QmpObject & { readonly type: string; readonly id: string }

/** `qom-type` is memory-backend-memfd, throttle-group, secret, iothread …; the others are its properties. */
export type ObjectOptions = QmpObject & { readonly 'qom-type': string; readonly id: string }

export interface PciDevice {
  readonly bus: number
  readonly slot: number
  readonly function: number
  /** As given to `device_add`; empty for what the machine has by itself. */
  readonly id: string
  readonly vendorId: number
  readonly deviceId: number
  readonly classId: number
  /** What is behind it, if it is a bridge or a port. */
  readonly devices: readonly PciDevice[]
}

/** Devices and objects (qapi/qdev.json, net.json, qom.json, pci.json, char.json). */
export const deviceCommands = {
  /** Not idempotent: the second time the id is a duplicate. */
  device_add: deed<DeviceOptions>(),
  /** Only asks the guest: the device is gone with the event DEVICE_DELETED that has its id. Asked twice, QEMU may refuse. */
  device_del: deed<{ readonly id: string }>(),
  netdev_add: deed<NetdevOptions>(),
  netdev_del: deed<{ readonly id: string }>(),
  /** `name` is of a netdev or of a device. Idempotent. */
  set_link: deed<{ readonly name: string; readonly up: boolean }>(),
  'object-add': deed<ObjectOptions>(),
  'object-del': deed<{ readonly id: string }>(),
  /** As QEMU sends it: read it with `readInteger`, `Fields` … */
  'qom-get': questionAbout<{ readonly path: string; readonly property: string }>()(
    (value) => value,
  ),
  'qom-set': deed<{ readonly path: string; readonly property: string; readonly value: QmpValue }>(),
  'qom-list': questionAbout<{ readonly path: string }>()(
    listOf((fields) => ({ name: fields.string('name'), type: fields.string('type') })),
  ),
  /** The buses at the root, each with its devices. */
  'query-pci': question(
    listOf((fields) => ({
      bus: fields.integer('bus'),
      devices: fields.list('devices', readPciDevice),
    })),
  ),
  'query-chardev': question(
    listOf((fields) => ({
      label: fields.string('label'),
      filename: fields.string('filename'),
      isFrontendOpen: fields.boolean('frontend-open'),
    })),
  ),
}

/** Recursion is bounded by the depth of a message (`QmpLimits.depthMax`). */
function readPciDevice(fields: Fields): PciDevice {
  const bridge = fields.optionalObject('pci_bridge')
  return {
    bus: fields.integer('bus'),
    slot: fields.integer('slot'),
    function: fields.integer('function'),
    id: fields.string('qdev_id'),
    vendorId: fields.object('id').integer('vendor'),
    deviceId: fields.object('id').integer('device'),
    classId: fields.object('class_info').integer('class'),
    devices: bridge?.has('devices') === true ? bridge.list('devices', readPciDevice) : [],
  }
}
