import { sql } from 'kysely'
export const insertSet = (tx) => tx.insertInto('set').values(sql)
