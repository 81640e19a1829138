import { isUuid, PlatformError, type HostId, type ProjectId } from '@nubo/base'
import type { PlacementAnswer, SetCreate } from '@nubo/contracts'
import type { HostRow, PlacementRule, SetRow, World } from '../../world/index.ts'
import { projectOf, type Caller } from '../identity/index.ts'
import {
  askOf,
  explain,
  groupOf,
  notPlacedText,
  refusals,
  type Ask,
  type WorldLedger,
} from '../placement/index.ts'
import { checkSet } from './admission.ts'
import type { ImageResolver } from './needs.ts'

/** Examples in the sentence that says why no host can take it. */
const EXAMPLES_MAX = 5

interface Page {
  readonly limit: number
  readonly cursor?: string | undefined
  readonly minRevision?: number | undefined
}

/** The rule as recorded. NOT_FOUND if the host that is asked for does not exist. */
export function placementRuleOf(world: World, asked: SetCreate['placement']): PlacementRule {
  const { host, spread, antiAffinity = null, hostLabels } = asked
  return { hostId: hostIdOf(world, host), spread, antiAffinity, hostLabels }
}

function hostIdOf(world: World, nameOrId: string | undefined): HostId | null {
  if (nameOrId === undefined) return null
  const host: HostRow | undefined = isUuid(nameOrId)
    ? world.host.get(nameOrId)
    : world.host.by('name', nameOrId)[0]
  if (host === undefined)
    throw new PlatformError(
      'NOT_FOUND',
      { kind: 'host', host: nameOrId },
      { message: `There is no host ${nameOrId}.` },
    )
  return host.id
}

/** Questions about placement that change nothing. */
export function placementQuestions(deps: {
  world: World
  ledger: WorldLedger
  images: ImageResolver
  findSet: (project: ProjectId, nameOrId: string) => SetRow
}) {
  const { world, ledger, images, findSet } = deps

  function answer(ask: Ask, page: Page): PlacementAnswer {
    const { best, hosts } = explain(ledger, ask)
    const counts = new Map<string, number>()
    for (const { refusal } of hosts)
      if (refusal !== null) counts.set(refusals[refusal], (counts.get(refusals[refusal]) ?? 0) + 1)
    const summary = {
      counts: [...counts].map(([reason, count]) => ({ reason, hosts: count })),
      rejected: hosts
        .flatMap(({ host, reason }) => (reason === null ? [] : [{ host: host.name, reason }]))
        .slice(0, EXAMPLES_MAX),
    }
    const { cursor } = page
    const rest = hosts.filter(({ host }) => cursor === undefined || host.name > cursor)
    const items = rest.slice(0, page.limit)
    return {
      host: best?.host.name ?? null,
      score: best?.score ?? null,
      reason:
        best === undefined ? { code: 'NOT_PLACED', text: `${notPlacedText(summary)}.` } : null,
      counts: summary.counts,
      items: items.map(({ host, score, reason }) => ({
        host: host.name,
        zone: host.zone,
        rack: host.rack,
        score,
        reason,
      })),
      revision: world.revision,
      cursor: rest.length > items.length ? (items.at(-1)?.host.name ?? null) : null,
    }
  }

  return {
    /** Where it would go now. What does not exist or may not be is refused as when it is created. */
    placeDryRun: async (caller: Caller, asked: SetCreate, page: Page): Promise<PlacementAnswer> => {
      checkSet(asked)
      if (page.minRevision !== undefined) await world.reached(page.minRevision)
      const project = projectOf(caller)
      const digests = asked.containers.map(({ image }) => images.resolve(project, image).digest)
      const ask: Ask = {
        ...placementRuleOf(world, asked.placement),
        group: `${project}/${groupOf(asked)}`,
        digests: [...new Set(digests)],
        cpuMillis: asked.cpuMillis,
        memoryBytes: asked.memoryBytes,
        isElsewhere: asked.recovery === 'elsewhere',
        kind: 'set',
        isRecovering: false,
      }
      return answer(ask, page)
    },

    /** What hosts would say now to a set, as if it were on none. */
    explainSet: async (caller: Caller, nameOrId: string, page: Page): Promise<PlacementAnswer> => {
      if (page.minRevision !== undefined) await world.reached(page.minRevision)
      const set = findSet(projectOf(caller), nameOrId)
      return ledger.without(set.id, () => answer(askOf(set), page))
    },
  }
}
