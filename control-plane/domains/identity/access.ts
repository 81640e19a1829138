import type { ProjectId } from '@nubo/base'
import type { MemberRow, ProjectRow, TokenRow } from '../../world/index.ts'
import { mayAct } from './caller.ts'

type Role = TokenRow['role']

/** What of the world decides who may what. */
export interface AccessFacts {
  readonly member: {
    by(index: 'pair' | 'account', key: string): readonly MemberRow[]
  }
  readonly project: {
    get(id: string | null): ProjectRow | undefined
    by(index: 'name', key: string): readonly ProjectRow[]
  }
}

/**
 * What a token may do in a project; undefined if it may not even know of it. A token of an account has the role of the
 * membership, but never more than its own; one that is bound to a project besides acts only there.
 */
export function roleIn(
  facts: Pick<AccessFacts, 'member'>,
  token: TokenRow,
  project: ProjectId,
): Role | undefined {
  if (token.role === 'operator') return 'operator'
  if (token.projectId !== null && token.projectId !== project) return undefined
  if (token.accountId === null) return token.role
  const [member] = facts.member.by('pair', `${project}/${token.accountId}`)
  if (member === undefined) return undefined
  return mayAct(member.role, token.role) ? token.role : member.role
}

/** Projects that a call without a project can mean; one is clear, several must be named. */
export function ownProjects(
  facts: AccessFacts,
  token: TokenRow,
  defaultName: string,
): readonly ProjectRow[] {
  const [standard] = facts.project.by('name', defaultName)
  const rows = (ids: readonly (ProjectId | null)[]): ProjectRow[] =>
    ids.flatMap((id) => facts.project.get(id) ?? [])
  if (token.projectId !== null)
    return rows([token.projectId]).filter(({ id }) => roleIn(facts, token, id) !== undefined)
  if (token.accountId === null || token.role === 'operator')
    return standard === undefined ? [] : [standard]
  const own = rows(facts.member.by('account', token.accountId).map(({ projectId }) => projectId))
  const found = own.find(({ id }) => id === standard?.id)
  return found === undefined ? own : [found]
}
