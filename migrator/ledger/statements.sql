-- revision
0004

-- create 1
CREATE TABLE meta (
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
)

-- create 2
CREATE TABLE run (
	no INTEGER NOT NULL,
	started FLOAT NOT NULL,
	finished FLOAT,
	exit_code INTEGER,
	passname TEXT NOT NULL,
	host TEXT NOT NULL,
	pid INTEGER NOT NULL,
	version TEXT NOT NULL,
	settings TEXT NOT NULL,
	PRIMARY KEY (no)
)

-- create 3
CREATE TABLE job (
	no INTEGER NOT NULL,
	id TEXT NOT NULL,
	line INTEGER NOT NULL,
	batch TEXT DEFAULT '' NOT NULL,
	source TEXT NOT NULL,
	target TEXT NOT NULL,
	source_endpoint TEXT NOT NULL,
	target_endpoint TEXT NOT NULL,
	extra TEXT DEFAULT '{}' NOT NULL,
	source_identity TEXT DEFAULT '' NOT NULL,
	target_identity TEXT DEFAULT '' NOT NULL,
	state TEXT DEFAULT 'waiting' NOT NULL,
	code TEXT DEFAULT '' NOT NULL,
	error TEXT DEFAULT '' NOT NULL,
	remedy TEXT DEFAULT '' NOT NULL,
	waiting_reason TEXT DEFAULT '' NOT NULL,
	waiting_words TEXT DEFAULT '' NOT NULL,
	waiting_until FLOAT DEFAULT '0' NOT NULL,
	owner TEXT DEFAULT '' NOT NULL,
	fence INTEGER DEFAULT '0' NOT NULL,
	lease_until FLOAT DEFAULT '0' NOT NULL,
	started FLOAT,
	finished FLOAT,
	PRIMARY KEY (no),
	UNIQUE (id)
)

-- create 4
CREATE TABLE entry (
	job INTEGER NOT NULL,
	"key" BLOB NOT NULL,
	folder INTEGER NOT NULL,
	source_id TEXT NOT NULL,
	version TEXT NOT NULL,
	kind TEXT NOT NULL,
	item_class TEXT NOT NULL,
	size INTEGER,
	received INTEGER,
	message_id TEXT NOT NULL,
	seen INTEGER,
	state TEXT NOT NULL,
	why TEXT NOT NULL,
	error TEXT NOT NULL,
	target_id TEXT NOT NULL,
	target_version TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	attempts INTEGER NOT NULL,
	octets INTEGER NOT NULL,
	path_taken TEXT NOT NULL,
	notes TEXT NOT NULL,
	page INTEGER NOT NULL,
	updated FLOAT NOT NULL,
	PRIMARY KEY (job, "key")
)

-- create 5
CREATE INDEX entry_of_folder ON entry (job, folder)

-- create 6
CREATE INDEX entry_open ON entry (job, folder, state) WHERE state IN ('sending', 'failed', 'skipped')

-- create 7
CREATE TABLE tally (
	folder INTEGER NOT NULL,
	state TEXT NOT NULL,
	why TEXT NOT NULL,
	job INTEGER NOT NULL,
	items INTEGER NOT NULL,
	octets INTEGER NOT NULL,
	PRIMARY KEY (folder, state, why)
)

-- create 8
CREATE TABLE route (
	job INTEGER NOT NULL,
	kind TEXT NOT NULL,
	path TEXT NOT NULL,
	notes TEXT NOT NULL,
	items INTEGER NOT NULL,
	PRIMARY KEY (job, kind, path, notes)
)
 WITHOUT ROWID

-- create 9
CREATE TABLE verdict (
	endpoint TEXT NOT NULL,
	tenant TEXT NOT NULL,
	origin TEXT NOT NULL,
	kind TEXT NOT NULL,
	accepted INTEGER NOT NULL,
	detail TEXT NOT NULL,
	at FLOAT NOT NULL,
	PRIMARY KEY (endpoint, tenant, origin, kind)
)

-- create 10
CREATE TABLE sample (
	run INTEGER NOT NULL,
	at INTEGER NOT NULL,
	items INTEGER NOT NULL,
	octets INTEGER NOT NULL,
	PRIMARY KEY (run, at)
)

-- create 11
CREATE TABLE incident (
	no INTEGER NOT NULL,
	run INTEGER NOT NULL,
	job INTEGER,
	at FLOAT NOT NULL,
	until FLOAT,
	kind TEXT NOT NULL,
	words TEXT NOT NULL,
	PRIMARY KEY (no)
)

-- create 12
CREATE TABLE fidelity (
	job INTEGER NOT NULL,
	kind TEXT NOT NULL,
	path TEXT NOT NULL,
	at FLOAT NOT NULL,
	confidence FLOAT NOT NULL,
	margin FLOAT NOT NULL,
	population INTEGER NOT NULL,
	compared INTEGER NOT NULL,
	identical INTEGER NOT NULL,
	volatile INTEGER NOT NULL,
	normalised INTEGER NOT NULL,
	differing INTEGER NOT NULL,
	unreadable INTEGER NOT NULL,
	properties TEXT NOT NULL,
	PRIMARY KEY (job, kind, path)
)

-- create 13
CREATE TABLE folder (
	no INTEGER NOT NULL,
	job INTEGER NOT NULL,
	source_id TEXT NOT NULL,
	path TEXT NOT NULL,
	kind TEXT NOT NULL,
	folder_class TEXT NOT NULL,
	role TEXT,
	total INTEGER,
	size INTEGER,
	target_id TEXT DEFAULT '' NOT NULL,
	target_path TEXT DEFAULT '[]' NOT NULL,
	skipped TEXT,
	listed INTEGER DEFAULT '0' NOT NULL,
	checkpoint_scheme TEXT,
	checkpoint_token TEXT,
	mark_scheme TEXT,
	mark_token TEXT,
	PRIMARY KEY (no),
	FOREIGN KEY(job) REFERENCES job (no)
)

-- create 14
CREATE UNIQUE INDEX folder_of_job ON folder (job, source_id)

-- create 15
CREATE TRIGGER route_new AFTER INSERT ON entry WHEN new.state = 'copied' BEGIN INSERT INTO route (job, kind, path, notes, items) VALUES (new.job, new.kind, new.path_taken, new.notes, 1) ON CONFLICT (job, kind, path, notes) DO UPDATE SET items = items + 1; END

-- create 16
CREATE TRIGGER route_more AFTER UPDATE ON entry WHEN new.state = 'copied' AND old.state != 'copied' BEGIN INSERT INTO route (job, kind, path, notes, items) VALUES (new.job, new.kind, new.path_taken, new.notes, 1) ON CONFLICT (job, kind, path, notes) DO UPDATE SET items = items + 1; END

-- create 17
CREATE TRIGGER route_less AFTER UPDATE ON entry WHEN old.state = 'copied' AND new.state != 'copied' BEGIN UPDATE route SET items = items - 1 WHERE job = old.job AND kind = old.kind AND path = old.path_taken AND notes = old.notes; END

-- create 18
CREATE TRIGGER route_other AFTER UPDATE ON entry WHEN old.state = 'copied' AND new.state = 'copied' AND (old.kind != new.kind OR old.path_taken != new.path_taken OR old.notes != new.notes) BEGIN UPDATE route SET items = items - 1 WHERE job = old.job AND kind = old.kind AND path = old.path_taken AND notes = old.notes; INSERT INTO route (job, kind, path, notes, items) VALUES (new.job, new.kind, new.path_taken, new.notes, 1) ON CONFLICT (job, kind, path, notes) DO UPDATE SET items = items + 1; END

-- create 19
CREATE TRIGGER route_gone AFTER DELETE ON entry WHEN old.state = 'copied' BEGIN UPDATE route SET items = items - 1 WHERE job = old.job AND kind = old.kind AND path = old.path_taken AND notes = old.notes; END

-- create 20
ANALYZE sqlite_schema

-- create 21
DELETE FROM sqlite_stat1

-- create 22
INSERT INTO sqlite_stat1 VALUES ('entry', 'sqlite_autoindex_entry_1', '10000000 10000 1')

-- create 23
INSERT INTO sqlite_stat1 VALUES ('entry', 'entry_of_folder', '10000000 10000 1000 1')

-- create 24
INSERT INTO sqlite_stat1 VALUES ('entry', 'entry_open', '100000 100 10 5 1')

-- create 25
INSERT INTO sqlite_stat1 VALUES ('folder', 'folder_of_job', '10000 10 1')

-- start_run
INSERT INTO run (started, passname, host, pid, version, settings) VALUES (:started, :passname, :host, :pid, :version, :settings) RETURNING no

-- finish_run
UPDATE run SET finished=:at, exit_code=:code WHERE run.no = :run

-- register
INSERT INTO job (id, line, batch, source, target, source_endpoint, target_endpoint, extra) VALUES (:id, :line, :batch, :source, :target, :source_endpoint, :target_endpoint, :extra) ON CONFLICT (id) DO UPDATE SET line = excluded.line, batch = excluded.batch, source = excluded.source, target = excluded.target, source_endpoint = excluded.source_endpoint, target_endpoint = excluded.target_endpoint, extra = excluded.extra

-- claim
UPDATE job SET state='running', code='', error='', remedy='', waiting_reason='', waiting_words='', waiting_until=0, owner=:me, fence=(job.fence + 1), lease_until=:until, started=coalesce(job.started, :now), finished=NULL WHERE job.id = :job_id AND (job.owner = '' OR job.lease_until < :now) RETURNING no, fence

-- heartbeat
UPDATE job SET lease_until=:until WHERE job.no = :job_no

-- release
UPDATE job SET state=:new_state, code=:new_code, error=:new_error, remedy=:new_remedy, waiting_reason='', waiting_words='', waiting_until=0, owner='', lease_until=0, finished=:new_finished WHERE job.no = :job_no

-- identities
SELECT job.source_identity, job.target_identity
FROM job
WHERE job.no = :job_no

-- bind
UPDATE job SET source_identity=:old, target_identity=:new WHERE job.no = :job_no

-- waiting
UPDATE job SET waiting_reason=:reason, waiting_words=:words, waiting_until=:until WHERE job.id = :job_id

-- put_note
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- note
SELECT meta.value
FROM meta
WHERE meta.name = :name

-- job_number
SELECT job.no
FROM job
WHERE job.id = :job_id

-- jobs
SELECT job.no, job.id, job.line, job.batch, job.source, job.target, job.source_endpoint, job.target_endpoint, job.extra, job.source_identity, job.target_identity, job.state, job.code, job.error, job.remedy, job.waiting_reason, job.waiting_words, job.waiting_until, job.owner, job.fence, job.lease_until, job.started, job.finished
FROM job ORDER BY job.line, job.no

-- runs
SELECT run.no, run.started, run.finished, run.exit_code, run.passname, run.host, run.pid, run.version, run.settings
FROM run ORDER BY run.no

-- held
WITH place AS (VALUES :[places]) SELECT count(*) AS count_1
FROM place CROSS JOIN job ON job.no = place.column1 AND job.fence = place.column2

-- put_folder
INSERT INTO folder (job, source_id, path, kind, folder_class, role, total, size, target_id, target_path, skipped) VALUES (:job, :source_id, :path, :kind, :folder_class, :role, :total, :size, :target_id, :target_path, :skipped) ON CONFLICT (job, source_id) DO UPDATE SET path = excluded.path, kind = excluded.kind, folder_class = excluded.folder_class, role = excluded.role, total = excluded.total, size = excluded.size, target_id = CASE WHEN (excluded.target_id = '') THEN folder.target_id ELSE excluded.target_id END, target_path = CASE WHEN (excluded.target_path = '[]') THEN folder.target_path ELSE excluded.target_path END, skipped = excluded.skipped

-- set_target
UPDATE folder SET target_id=:new_id, target_path=:new_path WHERE folder.no = :folder_no

-- forget_target
UPDATE folder SET target_id='', target_path='[]', mark_scheme=NULL, mark_token=NULL WHERE folder.no = :folder_no

-- set_mark
UPDATE folder SET mark_scheme=:scheme, mark_token=:token WHERE folder.no = :folder_no

-- forget_checkpoint
UPDATE folder SET checkpoint_scheme=NULL, checkpoint_token=NULL WHERE folder.no = :folder_no

-- advance
UPDATE folder SET listed=CASE WHEN (:last_page = 1) THEN 1 ELSE folder.listed END, checkpoint_scheme=:scheme, checkpoint_token=:token WHERE folder.no = :folder_no

-- folder_number
SELECT folder.no
FROM folder
WHERE folder.job = :job_no AND folder.source_id = :folder_id

-- folders
SELECT folder.no, folder.job, folder.source_id, folder.path, folder.kind, folder.folder_class, folder.role, folder.total, folder.size, folder.target_id, folder.target_path, folder.skipped, folder.listed, folder.checkpoint_scheme, folder.checkpoint_token, folder.mark_scheme, folder.mark_token
FROM folder
WHERE folder.job = :job_no ORDER BY folder.no

-- begin_new
INSERT INTO entry (job, "key", folder, source_id, version, kind, item_class, size, received, message_id, seen, state, why, error, target_id, target_version, fingerprint, attempts, octets, path_taken, notes, page, updated) VALUES (:job, :key, :folder, :source_id, :version, :kind, :item_class, :size, :received, :message_id, :seen, :state, '', '', '', '', :fingerprint, 1, 0, '', '', :page, :updated) ON CONFLICT (job, "key") DO NOTHING

-- begin
INSERT INTO entry (job, "key", folder, source_id, version, kind, item_class, size, received, message_id, seen, state, why, error, target_id, target_version, fingerprint, attempts, octets, path_taken, notes, page, updated) VALUES (:job, :key, :folder, :source_id, :version, :kind, :item_class, :size, :received, :message_id, :seen, :state, '', '', '', '', :fingerprint, 1, 0, '', '', :page, :updated) ON CONFLICT (job, "key") DO UPDATE SET folder = excluded.folder, version = excluded.version, kind = excluded.kind, item_class = excluded.item_class, size = excluded.size, received = excluded.received, message_id = excluded.message_id, seen = excluded.seen, state = excluded.state, why = '', error = '', fingerprint = excluded.fingerprint, attempts = (entry.attempts + 1), page = excluded.page, updated = excluded.updated

-- settle_begun
INSERT INTO entry (job, "key", folder, source_id, version, kind, item_class, size, received, message_id, seen, state, why, error, target_id, target_version, fingerprint, attempts, octets, path_taken, notes, page, updated) VALUES (:job, :key, :folder, :source_id, :version, :kind, :item_class, :size, :received, :message_id, :seen, :state, :why, :error, :target_id, :target_version, :fingerprint, 0, :octets, :path_taken, :notes, :page, :updated) ON CONFLICT (job, "key") DO UPDATE SET version = excluded.version, item_class = excluded.item_class, size = excluded.size, received = excluded.received, seen = excluded.seen, state = excluded.state, why = excluded.why, error = excluded.error, target_id = CASE WHEN (excluded.target_id = '') THEN entry.target_id ELSE excluded.target_id END, target_version = CASE WHEN (excluded.target_version = '') THEN entry.target_version ELSE excluded.target_version END, fingerprint = excluded.fingerprint, octets = excluded.octets, path_taken = excluded.path_taken, notes = excluded.notes, updated = excluded.updated WHERE entry.state = 'sending' AND entry.folder = excluded.folder

-- settle
INSERT INTO entry (job, "key", folder, source_id, version, kind, item_class, size, received, message_id, seen, state, why, error, target_id, target_version, fingerprint, attempts, octets, path_taken, notes, page, updated) VALUES (:job, :key, :folder, :source_id, :version, :kind, :item_class, :size, :received, :message_id, :seen, :state, :why, :error, :target_id, :target_version, :fingerprint, 0, :octets, :path_taken, :notes, :page, :updated) ON CONFLICT (job, "key") DO UPDATE SET folder = excluded.folder, version = excluded.version, item_class = excluded.item_class, size = excluded.size, received = excluded.received, seen = excluded.seen, state = excluded.state, why = excluded.why, error = excluded.error, target_id = CASE WHEN (excluded.target_id = '') THEN entry.target_id ELSE excluded.target_id END, target_version = CASE WHEN (excluded.target_version = '') THEN entry.target_version ELSE excluded.target_version END, fingerprint = excluded.fingerprint, octets = excluded.octets, path_taken = excluded.path_taken, notes = excluded.notes, updated = excluded.updated

-- known
WITH place AS (VALUES :[places]) SELECT entry.job, entry."key", entry.folder, entry.state, entry.why, entry.size
FROM place CROSS JOIN entry ON entry.job = place.column1 AND entry."key" = place.column2
WHERE entry.state != 'sending'

-- unsettled
SELECT count(*) AS count_1
FROM entry
WHERE entry.job = :job_no AND entry.folder = :folder_no AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending' AND entry.page <= :page_no

-- add_tally
INSERT INTO tally (folder, state, why, job, items, octets) VALUES (:folder, :state, :why, :job, :items, :octets) ON CONFLICT (folder, state, why) DO UPDATE SET items = (tally.items + excluded.items), octets = (tally.octets + excluded.octets)

-- add_sample
INSERT INTO sample (run, at, items, octets) VALUES (:run, :at, :items, :octets) ON CONFLICT (run, at) DO UPDATE SET items = (sample.items + excluded.items), octets = (sample.octets + excluded.octets)

-- entries
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no

-- entries_sending
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending'

-- entries_copied
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state = 'copied'

-- entries_present
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state = 'present'

-- entries_skipped
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped'

-- entries_failed
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'failed'

-- entries_skipped_because
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped' AND entry.why IN (:[reasons])

-- entries_in_folder
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id

-- entries_in_folder_sending
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending'

-- entries_in_folder_copied
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state = 'copied'

-- entries_in_folder_present
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state = 'present'

-- entries_in_folder_skipped
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped'

-- entries_in_folder_failed
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'failed'

-- entries_in_folder_skipped_because
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped' AND entry.why IN (:[reasons])

-- entries_by_key
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry."key" IN (:[keys])

-- entries_by_message_id
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.message_id IN (:[forms])

-- entries_of_all_failed
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'failed' ORDER BY entry.job, entry.folder

-- entries_of_all_sending
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending' ORDER BY entry.job, entry.folder

-- entries_of_all_skipped
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped' ORDER BY entry.job, entry.folder

-- item_rows
SELECT job.id, entry.folder, entry.received, entry.size, entry.kind, entry.item_class, entry.message_id, entry.state, entry.why, entry.error, entry.attempts, entry.path_taken
FROM entry JOIN job ON job.no = entry.job ORDER BY entry.job

-- item_rows_failed
SELECT job.id, entry.folder, entry.received, entry.size, entry.kind, entry.item_class, entry.message_id, entry.state, entry.why, entry.error, entry.attempts, entry.path_taken
FROM entry JOIN job ON job.no = entry.job
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'failed' AND (entry.why NOT IN (:[reasons])) ORDER BY entry.job

-- item_rows_skipped
SELECT job.id, entry.folder, entry.received, entry.size, entry.kind, entry.item_class, entry.message_id, entry.state, entry.why, entry.error, entry.attempts, entry.path_taken
FROM entry JOIN job ON job.no = entry.job
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'skipped' AND (entry.why NOT IN (:[reasons])) ORDER BY entry.job

-- folder_paths
SELECT folder.no, folder.path
FROM folder
WHERE folder.job = :job_no

-- claimed_targets
SELECT entry.target_id
FROM entry JOIN folder ON folder.no = entry.folder
WHERE entry.job = :job_no AND folder.job = :job_no AND folder.source_id = :folder_id AND entry.target_id != ''

-- sizes_of_sending
SELECT entry."key", entry.size
FROM entry
WHERE entry.job = :job_no AND entry."key" IN (:[keys]) AND entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending'

-- revive
UPDATE entry SET state='failed', why=:new_why, error=:new_error, updated=:at WHERE entry.job = :job_no AND entry."key" IN (:[keys])

-- departed_folders
SELECT DISTINCT tally.folder
FROM tally
WHERE tally.job = :job_no AND tally.why IN (:[reasons]) AND tally.items > 0

-- departed
SELECT entry.job, entry."key", entry.folder, entry.source_id, entry.version, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.seen, entry.state, entry.why, entry.error, entry.target_id, entry.target_version, entry.fingerprint, entry.attempts, entry.octets, entry.path_taken, entry.notes, entry.page, entry.updated, folder.source_id AS folder_id, job.id AS job_id
FROM entry JOIN folder ON folder.no = entry.folder JOIN job ON job.no = entry.job
WHERE entry.job = :job_no AND entry.folder = :folder_no AND entry.state IN ('copied', 'present') AND entry.why IN (:[reasons])

-- places
SELECT entry."key", entry.source_id, entry.folder, entry.state, entry.why, entry.error, entry.size
FROM entry
WHERE entry.job = :job_no AND entry."key" IN (:[keys])

-- mark
UPDATE entry SET why=:new_why, error=:new_error WHERE entry.job = :job_no AND entry."key" = :this_key

-- drop
DELETE FROM entry WHERE entry.job = :job_no AND entry."key" IN (:[keys])

-- put_verdict
INSERT INTO verdict (endpoint, tenant, origin, kind, accepted, detail, at) VALUES (:endpoint, :tenant, :origin, :kind, :accepted, :detail, :at) ON CONFLICT (endpoint, tenant, origin, kind) DO UPDATE SET accepted = excluded.accepted, detail = excluded.detail, at = excluded.at

-- drop_verdicts
DELETE FROM verdict WHERE verdict.endpoint = :endpoint

-- verdicts
SELECT verdict.endpoint, verdict.tenant, verdict.origin, verdict.kind, verdict.accepted, verdict.detail, verdict.at
FROM verdict

-- drop_fidelity
DELETE FROM fidelity WHERE fidelity.job = :job_no

-- put_fidelity
INSERT INTO fidelity (job, kind, path, at, confidence, margin, population, compared, identical, volatile, normalised, differing, unreadable, properties) VALUES (:job, :kind, :path, :at, :confidence, :margin, :population, :compared, :identical, :volatile, :normalised, :differing, :unreadable, :properties)

-- fidelity
SELECT fidelity.job, fidelity.kind, fidelity.path, fidelity.at, fidelity.confidence, fidelity.margin, fidelity.population, fidelity.compared, fidelity.identical, fidelity.volatile, fidelity.normalised, fidelity.differing, fidelity.unreadable, fidelity.properties, job.id AS job_id
FROM fidelity JOIN job ON job.no = fidelity.job ORDER BY job.line, job.no, fidelity.kind, fidelity.path

-- add_incident
INSERT INTO incident (run, job, at, until, kind, words) VALUES (:run, :job, :at, :until, :kind, :words)

-- incidents
SELECT incident.no, incident.run, incident.job, incident.at, incident.until, incident.kind, incident.words, job.id AS job_id
FROM incident LEFT OUTER JOIN job ON job.no = incident.job ORDER BY incident.no

-- tally
SELECT tally.folder, tally.state, tally.why, tally.items, tally.octets
FROM tally

-- sending_by_folder
SELECT folder.no AS folder, count(*) AS items, coalesce(sum(entry.size), 0) AS octets
FROM folder JOIN entry ON entry.job = folder.job AND entry.folder = folder.no
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending' GROUP BY folder.no

-- folders_of_all
SELECT job.id AS job_id, folder.no, folder.source_id, folder.path, folder.target_path, folder.kind, folder.skipped, folder.total, folder.listed
FROM folder JOIN job ON job.no = folder.job ORDER BY job.line, job.no, folder.no

-- balance_by_job
SELECT job.id, folder.skipped AS folder_skipped, sum(CASE WHEN (folder.skipped = 'search_folder') THEN coalesce(tallied.seen, 0) + coalesce(opened.items, 0) WHEN (folder.total > coalesce(tallied.seen, 0) + coalesce(opened.items, 0)) THEN folder.total ELSE coalesce(tallied.seen, 0) + coalesce(opened.items, 0) END) AS source, sum(CASE WHEN (folder.skipped = 'search_folder') THEN coalesce(tallied.seen, 0) + coalesce(opened.items, 0) WHEN (folder.total > coalesce(tallied.seen, 0) + coalesce(opened.items, 0)) THEN folder.total ELSE coalesce(tallied.seen, 0) + coalesce(opened.items, 0) END - (coalesce(tallied.seen, 0) + coalesce(opened.items, 0))) AS unseen, sum(coalesce(tallied.copied, 0)) AS copied, sum(coalesce(tallied.present, 0)) AS present, sum(coalesce(tallied.skipped, 0)) AS skipped, sum(coalesce(tallied.failed, 0)) AS failed, sum(coalesce(tallied.octets_copied, 0)) AS octets_copied, sum(coalesce(tallied.due, 0) + coalesce(opened.items, 0)) AS sending, sum(coalesce(tallied.octets, 0) + coalesce(opened.octets, 0)) AS octets
FROM folder JOIN job ON job.no = folder.job LEFT OUTER JOIN (SELECT tally.folder AS folder, sum(tally.items) AS seen, sum(CASE WHEN (tally.state = 'copied') THEN tally.items ELSE 0 END) AS copied, sum(CASE WHEN (tally.state = 'present') THEN tally.items ELSE 0 END) AS present, sum(CASE WHEN (tally.state = 'skipped') THEN tally.items ELSE 0 END) AS skipped, sum(CASE WHEN (tally.state = 'failed' AND tally.why != 'not_sent') THEN tally.items ELSE 0 END) AS failed, sum(CASE WHEN (tally.why = 'not_sent') THEN tally.items ELSE 0 END) AS due, sum(tally.octets) AS octets, sum(CASE WHEN (tally.state = 'copied') THEN tally.octets ELSE 0 END) AS octets_copied
FROM tally GROUP BY tally.folder) AS tallied ON tallied.folder = folder.no LEFT OUTER JOIN (SELECT folder.no AS folder, count(*) AS items, coalesce(sum(entry.size), 0) AS octets
FROM folder JOIN entry ON entry.job = folder.job AND entry.folder = folder.no
WHERE entry.state IN ('sending', 'failed', 'skipped') AND entry.state = 'sending' GROUP BY folder.no) AS opened ON opened.folder = folder.no GROUP BY job.no, job.id, job.line, folder.skipped ORDER BY job.line, job.no

-- by_why
SELECT job.id, tally.why, sum(tally.items) AS items
FROM tally JOIN folder ON folder.no = tally.folder JOIN job ON job.no = folder.job
WHERE tally.state = :of_state GROUP BY job.id, job.line, tally.why
HAVING sum(tally.items) > 0 ORDER BY job.line, tally.why

-- throughput
SELECT sample.run, sample.at, sample.items, sample.octets
FROM sample ORDER BY sample.run, sample.at

-- paths_taken
SELECT job.id, route.kind, route.path, route.notes, route.items
FROM route JOIN job ON job.no = route.job
WHERE route.items > 0 ORDER BY job.line, job.no, route.kind, route.path, route.notes

-- fates_of_folders
SELECT entry.folder, entry.state, entry.why, count(*) AS items
FROM entry
WHERE entry.job = :job_no GROUP BY entry.folder, entry.state, entry.why

-- fates
SELECT entry."key", entry.folder, entry.kind, entry.item_class, entry.size, entry.received, entry.message_id, entry.fingerprint, entry.state, entry.why, entry.target_id, entry.path_taken, entry.updated
FROM entry
WHERE entry.job = :job_no ORDER BY entry."key"
