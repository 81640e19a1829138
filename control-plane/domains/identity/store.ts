import { PlatformError } from '@nubo/base'
import {
  insertQuota,
  type AccountRow,
  type MemberRow,
  type ProjectRow,
  type TokenRow,
  type Touched,
  type Tx,
} from '../../world/index.ts'

export async function insertProject(tx: Tx, touched: Touched, row: ProjectRow): Promise<void> {
  await tx.insertInto('project').values(row).execute()
  await insertQuota(tx, row.id)
  touched.touch('project', row.id)
}

export async function deleteProject(tx: Tx, touched: Touched, project: ProjectRow): Promise<void> {
  // Locked first, so that nothing is made in it meanwhile; and all that goes is named, so that no world keeps it.
  await tx.selectFrom('project').select('id').where('id', '=', project.id).forUpdate().execute()
  // `applied` and `manifest` are only traces: whatever a manifest applied keeps the project from being removed.
  for (const kind of ['token', 'operation', 'member', 'applied', 'manifest'] as const) {
    const gone = await tx
      .deleteFrom(kind)
      .where('projectId', '=', project.id)
      .returning('id')
      .execute()
    for (const { id } of gone) touched.touch(kind, id)
  }
  await tx.deleteFrom('project').where('id', '=', project.id).execute()
  touched.touch('project', project.id)
}

export async function insertToken(tx: Tx, touched: Touched, row: TokenRow): Promise<void> {
  await tx.insertInto('token').values(row).execute()
  touched.touch('token', row.id)
}

export async function revokeToken(
  tx: Tx,
  touched: Touched,
  change: { id: TokenRow['id']; atMs: number },
): Promise<void> {
  await tx
    .updateTable('token')
    .set({ revokedAtMs: change.atMs })
    .where('id', '=', change.id)
    .where('revokedAtMs', 'is', null)
    .execute()
  touched.touch('token', change.id)
}

export async function insertAccount(tx: Tx, touched: Touched, row: AccountRow): Promise<void> {
  await tx.insertInto('account').values(row).execute()
  touched.touch('account', row.id)
}

/** With its tokens. What it is a member of or owns refuses by its foreign key. */
export async function deleteAccount(tx: Tx, touched: Touched, account: AccountRow): Promise<void> {
  const tokens = await tx
    .deleteFrom('token')
    .where('accountId', '=', account.id)
    .returning('id')
    .execute()
  await tx.deleteFrom('account').where('id', '=', account.id).execute()
  for (const { id } of tokens) touched.touch('token', id)
  touched.touch('account', account.id)
}

/**
 * Members of one project change one after the other: else two owners could remove each other at once. Other things of
 * the project are made meanwhile (a foreign key takes a weaker lock).
 */
async function lockMembers(tx: Tx, projectId: ProjectRow['id']): Promise<MemberRow[]> {
  const project = await tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', projectId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (project === undefined) throw new PlatformError('NOT_FOUND', { kind: 'project' })
  return tx.selectFrom('member').selectAll().where('projectId', '=', projectId).execute()
}

function requireOtherOwner(
  members: readonly MemberRow[],
  leaving: MemberRow,
  accountName: string,
): void {
  const isOther = (row: MemberRow): boolean => row.id !== leaving.id && row.role === 'owner'
  if (leaving.role !== 'owner' || members.some(isOther)) return
  throw new PlatformError(
    'LAST_OWNER',
    { field: 'account', account: accountName, next: 'make another account an owner first' },
    { message: `${accountName} is the last owner of the project.` },
  )
}

/** Makes a member, or changes its role. Idempotent. LAST_OWNER. */
export async function upsertMember(
  tx: Tx,
  touched: Touched,
  wanted: { row: MemberRow; accountName: string },
): Promise<MemberRow> {
  const { row, accountName } = wanted
  const members = await lockMembers(tx, row.projectId)
  const before = members.find(({ accountId }) => accountId === row.accountId)
  if (before === undefined) {
    await tx.insertInto('member').values(row).execute()
    touched.touch('member', row.id)
    return row
  }
  if (row.role !== 'owner') requireOtherOwner(members, before, accountName)
  await tx.updateTable('member').set({ role: row.role }).where('id', '=', before.id).execute()
  touched.touch('member', before.id)
  return { ...before, role: row.role }
}

/** NOT_FOUND if it is none, LAST_OWNER. */
export async function deleteMember(
  tx: Tx,
  touched: Touched,
  leaving: Pick<MemberRow, 'projectId' | 'accountId'> & { accountName: string },
): Promise<MemberRow> {
  const members = await lockMembers(tx, leaving.projectId)
  const row = members.find(({ accountId }) => accountId === leaving.accountId)
  if (row === undefined) throw notMember(leaving.accountName)
  requireOtherOwner(members, row, leaving.accountName)
  await tx.deleteFrom('member').where('id', '=', row.id).execute()
  touched.touch('member', row.id)
  return row
}

export function notMember(account: string): PlatformError {
  return new PlatformError(
    'NOT_FOUND',
    { kind: 'member', member: account, next: 'see `nubo project member ls`' },
    { message: `${account} is no member of this project.` },
  )
}
