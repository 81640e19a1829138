import { existsSync, readFileSync } from 'node:fs'
import { newId, type Clock, type Random } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import {
  DEFAULT_ACCOUNT_NAME,
  DEFAULT_PROJECT_NAME,
  newSecret,
  secretSha256,
} from './domains/identity/index.ts'
import { writePrivateFile } from './adapters/private-file.ts'
import { commit, insertQuota, type ProjectRow, type Tables, type TokenRow } from './world/index.ts'

/**
 * Makes what a region needs before anybody can log in: one account, the project `default`, and an operator's token in
 * a file that only root reads. Idempotent; a token file that was lost or no longer fits gets a new token.
 */
export async function bootstrapRegion(deps: {
  database: Database<Tables>
  clock: Clock
  random: Random
  tokenFile: string
}): Promise<void> {
  const { database, clock, random, tokenFile } = deps
  const nowMs = clock.nowMs()
  const known = existsSync(tokenFile)
    ? secretSha256(readFileSync(tokenFile, 'utf8').trim())
    : undefined
  const secret = newSecret(random)
  const { value: isNew } = await commit({ database, clock }, async (tx, touched) => {
    const account = await tx.selectFrom('account').select('id').executeTakeFirst()
    const accountId = account?.id ?? newId<'account'>(clock, random)
    if (account === undefined) {
      await tx
        .insertInto('account')
        .values({ id: accountId, name: DEFAULT_ACCOUNT_NAME, createdAtMs: nowMs })
        .execute()
      touched.touch('account', accountId)
      const project: ProjectRow = {
        id: newId(clock, random),
        accountId,
        name: DEFAULT_PROJECT_NAME,
        createdAtMs: nowMs,
      }
      await tx.insertInto('project').values(project).execute()
      await insertQuota(tx, project.id)
      touched.touch('project', project.id)
    }
    const valid =
      known === undefined
        ? undefined
        : await tx
            .selectFrom('token')
            .select('id')
            .where('secretSha256', '=', known)
            .where('revokedAtMs', 'is', null)
            .executeTakeFirst()
    if (valid !== undefined) return false
    const token: TokenRow = {
      id: newId(clock, random),
      name: 'bootstrap',
      role: 'operator',
      projectId: null,
      accountId: null,
      secretSha256: secretSha256(secret),
      createdAtMs: nowMs,
      expiresAtMs: null,
      revokedAtMs: null,
    }
    await tx.insertInto('token').values(token).execute()
    touched.touch('token', token.id)
    return true
  })
  // After the commit: a file without its token would be useless, a token without its file is only forgotten.
  if (isNew) writePrivateFile(tokenFile, `${secret}\n`)
}
