import type { Database } from '@nubo/runtime'
import { sql } from 'kysely'
import type { ImageRow, Tables, Touched, Tx } from '../../world/index.ts'

export async function insertImage(tx: Tx, touched: Touched, row: ImageRow): Promise<void> {
  await tx
    .insertInto('image')
    .values({
      ...row,
      command: JSON.stringify(row.command),
      disk: row.disk === null ? null : JSON.stringify(row.disk),
    })
    .execute()
  touched.touch('image', row.id)
}

/** Locked, so that what is being created cannot take an image that is being removed. */
export async function isUsed(tx: Tx, id: ImageRow['id']): Promise<boolean> {
  await tx.selectFrom('image').select('id').where('id', '=', id).forUpdate().execute()
  // Compared in the database: sets are many, and their environments large.
  const { rows } = await sql<{ isUsed: boolean }>`
    select exists (select from set where containers @> ${JSON.stringify([{ imageId: id }])}::jsonb)
      or exists (select from vm where image_id = ${id}::uuid) as is_used`.execute(tx)
  return rows[0]?.isUsed !== false
}

export async function deleteImage(tx: Tx, touched: Touched, id: ImageRow['id']): Promise<void> {
  await tx.deleteFrom('image').where('id', '=', id).execute()
  touched.touch('image', id)
}

/** Repositories of all images that are recorded now, whatever this process's world knows. */
export async function readRepositories(database: Database<Tables>): Promise<ReadonlySet<string>> {
  const rows = await database.query.selectFrom('image').select('repository').execute()
  return new Set(rows.map((row) => row.repository))
}
