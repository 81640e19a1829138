import { Fields } from '../fields.ts'
import { readVersion } from '../message.ts'
import { runStates } from '../states.ts'
import { deed, listOf, question } from './command.ts'

const placeNames = ['socket-id', 'die-id', 'cluster-id', 'core-id', 'thread-id', 'node-id'] as const

/** Where a CPU is, in the words that `device_add` takes. `device_add` refuses `node-id`, so leave that out. */
export type CpuPlace = Readonly<Partial<Record<(typeof placeNames)[number], number>>>

/** The machine as a whole and its CPUs (qapi/misc.json, run-state.json, machine.json, control.json). */
export const machineCommands = {
  'query-status': question((value, at) => {
    const fields = new Fields(value, at)
    return { status: fields.oneOf('status', runStates), isRunning: fields.boolean('running') }
  }),
  /** Idempotent. The event is STOP. */
  stop: deed(),
  /** Idempotent. The event is RESUME. */
  cont: deed(),
  /** QEMU exits; see `QmpClient.quit`. */
  quit: deed(),
  /** Asks the guest by ACPI, which need not care. QEMU exits when the guest has shut down. */
  system_powerdown: deed(),
  system_reset: deed(),
  'inject-nmi': deed(),
  'query-version': question((value, at) => readVersion(new Fields(value, at))),
  /** Their names. */
  'query-commands': question(listOf((fields) => fields.string('name'))),
  /** As given with -name, or null. */
  'query-name': question((value, at) => new Fields(value, at).optionalString('name')),
  'query-uuid': question((value, at) => new Fields(value, at).string('UUID')),
  'query-kvm': question((value, at) => {
    const fields = new Fields(value, at)
    return { isEnabled: fields.boolean('enabled'), isPresent: fields.boolean('present') }
  }),
  'query-cpus-fast': question(
    listOf((fields) => ({
      index: fields.size('cpu-index'),
      qomPath: fields.string('qom-path'),
      /** Of the host, for pinning. */
      threadId: fields.integer('thread-id'),
      place: readPlace(fields.optionalObject('props')),
    })),
  ),
  /** Every CPU that could be; those that are have a `qomPath`. */
  'query-hotpluggable-cpus': question(
    listOf((fields) => ({
      /** The driver for `device_add`. */
      type: fields.string('type'),
      cpuCount: fields.size('vcpus-count'),
      place: readPlace(fields.object('props')),
      qomPath: fields.optionalString('qom-path'),
    })),
  ),
}

function readPlace(props: Fields | null): CpuPlace {
  const place: Partial<Record<(typeof placeNames)[number], number>> = {}
  for (const name of placeNames) {
    const value = props?.optionalInteger(name) ?? null
    if (value !== null) place[name] = value
  }
  return place
}
