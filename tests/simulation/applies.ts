import type { World } from '@nubo/control-plane'
import type { Action } from './action.ts'
import { manifestBody, namesOf, type ManifestBody } from './manifest-body.ts'
import { LATE_EFFECT_MAX_MS, type Model } from './model.ts'
import type { Answer } from './simulated-region.ts'
import { claim } from './violation.ts'

type Apply = Extract<Action, { do: 'apply' }>
type OperationRow = NonNullable<ReturnType<World['operation']['get']>>
type SetRow = NonNullable<ReturnType<World['set']['get']>>

interface Asked {
  readonly action: Apply
  readonly body: ManifestBody
  readonly fromMs: number
  /** What it does comes later than this at most where its operation is not known. */
  untilMs: number
}

/** What a world held for one manifest at one moment, by names. */
interface Held {
  readonly sets: ReadonlyMap<string, { readonly row: SetRow; readonly text: string }>
  /** The sets of which the last change was carried out by their host. */
  readonly reached: ReadonlySet<string>
  readonly others: ReadonlySet<string>
  /** What belongs to the manifest and is there. */
  readonly owned: readonly string[]
}

interface Ended {
  readonly operation: OperationRow
  readonly held: Held
  readonly atMs: number
}

/** Applies that were asked for and what became of them: what was said to be done must have been so at that moment. */
export class Applies {
  readonly #nowMs: () => number
  readonly #asked: Asked[] = []
  readonly #byOperation = new Map<string, Asked>()
  /** Sets by name with their generations, when an apply was admitted; in the order in which they were. */
  readonly #admitted = new Map<string, ReadonlyMap<string, string>>()
  readonly #last = new Map<string, string>()
  #unchecked: Ended[] = []
  readonly #endedIds = new Set<string>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Before the request leaves. */
  asking(action: Apply): Asked {
    const body = manifestBody(action.manifest)
    const asked: Asked = { action, body, fromMs: this.#nowMs(), untilMs: Infinity }
    this.#asked.push(asked)
    return asked
  }

  asked(asked: Asked, answer: Answer<{ id: string }>): void {
    if (answer.at === 'answered') this.#byOperation.set(answer.value.id, asked)
    else asked.untilMs = this.#nowMs() + (answer.at === 'unknown' ? LATE_EFFECT_MAX_MS : 0)
  }

  /** An operation of a world changed, in this very revision. `wasThere`: it was there before. */
  sees(world: World, operation: OperationRow, wasThere: boolean): void {
    const { id, endedAtMs, resourceName } = operation
    if (!wasThere && !this.#admitted.has(id)) {
      const sets = [...holdings(world, operation).sets].map(([name, { row }]) => [name, key(row)])
      this.#admitted.set(id, new Map(sets as [string, string][]))
      this.#last.set(resourceName, id)
    }
    if (endedAtMs === null || this.#endedIds.has(id)) return
    this.#endedIds.add(id)
    if (operation.state !== 'done') return
    this.#unchecked.push({ operation, held: holdings(world, operation), atMs: this.#nowMs() })
  }

  /** Holds what has ended meanwhile to what its caller asked for; answers may come later than the end. */
  check(model: Model): void {
    this.#unchecked = this.#unchecked.filter((ended) => {
      const asked = this.#byOperation.get(ended.operation.id)
      if (asked === undefined) return true
      this.#compare(asked, ended, model)
      return false
    })
  }

  /** The last one of each manifest holds still, where nothing else has changed its things. */
  checkAtRest(model: Model, world: World): void {
    this.check(model)
    for (const id of this.#last.values()) {
      const operation = world.operation.get(id)
      const asked = this.#byOperation.get(id)
      if (operation?.state !== 'done' || asked === undefined) continue
      // One of which nobody knows whether it was admitted may have been the last.
      const isLast = this.#asked.every(
        (one) =>
          one === asked ||
          one.action.manifest.name !== asked.action.manifest.name ||
          one.fromMs < asked.fromMs,
      )
      if (!isLast) continue
      this.#compare(
        asked,
        { operation, held: holdings(world, operation), atMs: this.#nowMs() },
        model,
      )
    }
  }

  #compare(asked: Asked, { operation, held }: Ended, model: Model): void {
    const { body, action } = asked
    const said = `manifest ${body.name} was said to be applied`
    const isTouched = (name: string): boolean => this.#isTouched(name, asked, model)
    for (const name of expectedOthers(body))
      claim(held.others.has(name), 'applied-not-there', () => `${said}, but there is no ${name}`)
    for (const set of body.sets) {
      if (isTouched(set.name)) continue
      const found = held.sets.get(set.name)
      const wanted = textOfBody(set, body)
      claim(
        found?.text === wanted,
        'applied-not-so',
        () => `${said}, but set ${set.name} is ${found?.text ?? 'not there'}, not ${wanted}`,
      )
      if (found === undefined) continue
      const before = this.#admitted.get(operation.id)
      claim(
        before === undefined ||
          before.get(set.name) === key(found.row) ||
          held.reached.has(set.name),
        'applied-not-reached',
        () => `${said}, but set ${set.name} has not come to generation ${found.row.generation}`,
      )
    }
    if (!action.prune) return
    const described = new Set([
      ...expectedOthers(body),
      ...body.sets.map(({ name }) => `set ${name}`),
    ])
    for (const thing of held.owned)
      claim(
        described.has(thing) || isTouched(thing.slice('set '.length)),
        'not-pruned',
        () => `${said} with prune, but ${thing} of it is still there`,
      )
  }

  /** Whether somebody else may have changed a set of this name since. */
  #isTouched(name: string, since: Asked, model: Model): boolean {
    return (
      model.isTouched(name, since.fromMs) ||
      this.#asked.some(
        (one) =>
          one.body.name !== since.body.name &&
          namesOf(one.action.manifest.name).includes(name) &&
          one.untilMs >= since.fromMs,
      )
    )
  }
}

const key = ({ id, generation }: SetRow): string => `${id} ${generation}`

function expectedOthers(body: ManifestBody): string[] {
  return [
    ...body.networks.map(({ name }) => `network ${name}`),
    ...body.subnets.map(({ name, network }) => `subnet ${network}/${name}`),
    ...body.ports.map(({ name }) => `port ${name}`),
  ]
}

function textOfBody(set: ManifestBody['sets'][number], body: ManifestBody): string {
  const port = 'port' in set ? body.ports.find(({ name }) => name === set.port) : undefined
  const subnet = 'subnet' in set ? set.subnet : port?.subnet
  return JSON.stringify([
    `${set.network}/${subnet}`,
    port?.name ?? null,
    set.memoryBytes,
    set.recovery,
    set.priority,
    set.placement?.host ?? null,
    set.containers.map(({ name, image }) => `${name} ${image}`),
  ])
}

function holdings(world: World, { projectId, resourceName, resourceId }: OperationRow): Held {
  const sets = new Map<string, { row: SetRow; text: string }>()
  const reached = new Set<string>()
  // proof: manifests of this simulation have no other names
  for (const name of namesOf(resourceName as Apply['manifest']['name'])) {
    const row = world.set.by('name', `${projectId}/${name}`)[0]
    if (row === undefined || row.wanted === 'removed') continue
    sets.set(name, { row, text: textOfRow(world, row) })
    const isReached = world.operation
      .by('resource', row.id)
      .some(({ state, generation }) => state === 'done' && generation === row.generation)
    if (isReached) reached.add(name)
  }
  const owned = world.applied.by('manifest', resourceId).flatMap(({ kind, id }) => {
    const name = thingName(world, kind, id)
    return name === undefined ? [] : [name]
  })
  const others = new Set([
    ...[...world.network.values()].map(({ id }) => thingName(world, 'network', id) ?? ''),
    ...[...world.subnet.values()].map(({ id }) => thingName(world, 'subnet', id) ?? ''),
    ...[...world.port.values()].map(({ id }) => thingName(world, 'port', id) ?? ''),
  ])
  return { sets, reached, others, owned }
}

type Kind = NonNullable<ReturnType<World['applied']['get']>>['kind']

/** Undefined for what is gone, or going. */
function thingName(world: World, kind: Kind, id: string): string | undefined {
  const row = world[kind].get(id)
  if (row === undefined) return undefined
  if (kind === 'set' && world.set.get(id)?.wanted === 'removed') return undefined
  const of = kind === 'subnet' ? world.network.get(world.subnet.get(id)?.networkId) : undefined
  return `${kind} ${of === undefined ? '' : `${of.name}/`}${row.name}`
}

function textOfRow(world: World, row: SetRow): string {
  const port = world.port.by('instance', row.id)[0]
  const subnet = world.subnet.get(port?.subnetId)
  return JSON.stringify([
    `${world.network.get(port?.networkId)?.name}/${subnet?.name}`,
    port === undefined || port.ownedBySet ? null : port.name,
    row.memoryBytes,
    row.recovery,
    row.priority,
    world.host.get(row.placementRule.hostId)?.name ?? null,
    row.containers.map(({ name, imageName }) => `${name} ${imageName}`),
  ])
}
