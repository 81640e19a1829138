import { PlatformError, type AccountId, type ProjectId, type TokenId } from '@nubo/base'
import type { TokenRow } from '../../world/index.ts'

/** Who asks, after the token was checked and the project of the call was found. */
export interface Caller {
  readonly tokenId: TokenId
  readonly tokenName: string
  /** The account that the token belongs to, if to any. */
  readonly accountId: AccountId | null
  /** In the project of the call. */
  readonly role: TokenRow['role']
  /** The project that the call is about; undefined for calls that are about none. */
  readonly project: ProjectId | undefined
}

const rank = { viewer: 1, member: 2, owner: 3, operator: 4 } as const

export function mayAct(
  role: TokenRow['role'],
  needed: 'viewer' | 'member' | 'owner' | 'operator',
): boolean {
  return rank[role] >= rank[needed]
}

/** The project of a call on a project's resources. */
export function projectOf(caller: Caller): ProjectId {
  if (caller.project === undefined) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'project', next: 'name a project with --project' },
      { message: 'This call needs a project.' },
    )
  }
  return caller.project
}

/** Whether a row of a project may be shown to this caller at all. */
export function maySee(caller: Caller, row: { readonly projectId: ProjectId | null }): boolean {
  return row.projectId !== null && row.projectId === caller.project
}
