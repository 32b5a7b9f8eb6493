using System.Security.Cryptography;
using System.Text;
using FluentMigrator;

namespace LabPortal.Data.Migrations;

/// <summary>
/// The first schema. One SQL text serves both databases: instants are <c>bigint</c> microseconds UTC, ids canonical UUID text,
/// states words, structured values JSON text, money <c>bigint</c> millionths.
/// </summary>
[Migration(1, "Base")]
public sealed class Base0001 : ForwardOnlyMigration
{
    public override void Up()
    {
        foreach (var statement in Statements.Split(";\n", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            Execute.Sql(statement);
        Execute.Sql($"INSERT INTO schema_base (fingerprint) VALUES ('{Fingerprint}')");
    }

    /// <summary>Of this text, however it is laid out. As long as this file may change in place, it tells whose schema a database has.</summary>
    internal static string Fingerprint { get; } =
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join(' ', Statements.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)))))[..16];

    private const string Statements = """
        CREATE TABLE schema_base (fingerprint text PRIMARY KEY);
        CREATE TABLE installation (
            id text PRIMARY KEY,
            made_at bigint NOT NULL,
            settings text NOT NULL DEFAULT '{}',
            one integer NOT NULL DEFAULT 1 CONSTRAINT installation_is_one UNIQUE CHECK (one = 1)
        );

        CREATE TABLE people (
            id text PRIMARY KEY,
            name text NOT NULL,
            email text NOT NULL CONSTRAINT people_email_key UNIQUE,
            is_admin boolean NOT NULL DEFAULT false,
            is_auditor boolean NOT NULL DEFAULT false,
            disabled boolean NOT NULL DEFAULT false,
            created_at bigint NOT NULL
        );
        CREATE TABLE sign_ins (
            issuer text NOT NULL,
            subject text NOT NULL,
            person_id text NOT NULL REFERENCES people (id),
            PRIMARY KEY (issuer, subject)
        );
        CREATE TABLE passwords (
            person_id text PRIMARY KEY REFERENCES people (id),
            hash text NOT NULL,
            stamp text NOT NULL,
            failures integer NOT NULL DEFAULT 0,
            locked_until bigint,
            changed_at bigint NOT NULL
        );
        CREATE TABLE one_time_links (
            token_hash text PRIMARY KEY,
            purpose text NOT NULL CONSTRAINT one_time_links_purpose CHECK (purpose IN ('setup', 'invitation', 'reset')),
            person_id text REFERENCES people (id),
            email text,
            grants text NOT NULL DEFAULT '{}',
            expires_at bigint NOT NULL,
            used_at bigint
        );
        CREATE TABLE api_tokens (
            id text PRIMARY KEY,
            person_id text NOT NULL REFERENCES people (id),
            name text NOT NULL,
            token_hash text NOT NULL CONSTRAINT api_tokens_hash UNIQUE,
            created_at bigint NOT NULL,
            expires_at bigint NOT NULL,
            last_used_at bigint
        );
        CREATE INDEX api_tokens_person ON api_tokens (person_id);
        CREATE TABLE ssh_keys (
            id text PRIMARY KEY,
            person_id text NOT NULL REFERENCES people (id),
            name text NOT NULL,
            public_key text NOT NULL,
            fingerprint text NOT NULL,
            created_at bigint NOT NULL,
            CONSTRAINT ssh_keys_once UNIQUE (person_id, fingerprint)
        );
        CREATE TABLE teams (
            id text PRIMARY KEY,
            name text NOT NULL CONSTRAINT teams_name_key UNIQUE,
            zone text NOT NULL,
            declared boolean NOT NULL DEFAULT false,
            created_at bigint NOT NULL
        );
        CREATE TABLE memberships (
            team_id text NOT NULL REFERENCES teams (id),
            person_id text NOT NULL REFERENCES people (id),
            role text NOT NULL CONSTRAINT memberships_role CHECK (role IN ('requester', 'trainer', 'manager')),
            PRIMARY KEY (team_id, person_id)
        );
        CREATE INDEX memberships_person ON memberships (person_id);
        CREATE TABLE secrets (
            name text PRIMARY KEY,
            protected text NOT NULL,
            changed_at bigint NOT NULL
        );

        CREATE TABLE pools (
            id text PRIMARY KEY,
            name text NOT NULL CONSTRAINT pools_name_key UNIQUE,
            provider text NOT NULL,
            labels text NOT NULL,
            settings text NOT NULL,
            limits text NOT NULL,
            overcommit text NOT NULL,
            prices text,
            mode text NOT NULL DEFAULT 'open' CONSTRAINT pools_mode CHECK (mode IN ('open', 'maintenance', 'draining')),
            problems text NOT NULL DEFAULT '[]',
            checked_at bigint,
            declared boolean NOT NULL DEFAULT false,
            account text,
            version integer NOT NULL DEFAULT 1
        );
        CREATE TABLE pool_breakers (
            pool_id text PRIMARY KEY REFERENCES pools (id) ON DELETE CASCADE,
            faults integer NOT NULL,
            open_until bigint,
            why text NOT NULL
        );
        CREATE TABLE pool_accounts (
            account text PRIMARY KEY,
            busy_until bigint NOT NULL,
            closed_until bigint NOT NULL
        );
        CREATE TABLE pool_hosts (
            pool_id text NOT NULL REFERENCES pools (id),
            host text NOT NULL,
            cpu integer NOT NULL,
            memory_mib bigint NOT NULL,
            disk_gib bigint NOT NULL,
            disk_free_gib bigint NOT NULL,
            largest_disk_gib bigint NOT NULL,
            acceleration text,
            problem text,
            seen_at bigint NOT NULL,
            PRIMARY KEY (pool_id, host)
        );
        CREATE TABLE pool_sweeps (
            pool_id text NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
            sweep text NOT NULL,
            due_at bigint NOT NULL,
            PRIMARY KEY (pool_id, sweep)
        );
        CREATE TABLE pool_slots (
            pool_id text NOT NULL,
            kind text NOT NULL CONSTRAINT pool_slots_kind CHECK (kind IN ('operation', 'boot')),
            run_id text NOT NULL,
            target text NOT NULL,
            taken_at bigint NOT NULL,
            PRIMARY KEY (pool_id, kind, run_id, target)
        );
        CREATE INDEX pool_slots_run ON pool_slots (run_id);
        CREATE TABLE images (
            name text NOT NULL,
            version text NOT NULL,
            os text NOT NULL,
            guest_user text NOT NULL,
            warm boolean NOT NULL DEFAULT false,
            bindings text NOT NULL,
            declared boolean NOT NULL DEFAULT false,
            current boolean NOT NULL DEFAULT true,
            created_at bigint NOT NULL,
            PRIMARY KEY (name, version)
        );
        CREATE TABLE image_presence (
            pool_id text NOT NULL REFERENCES pools (id),
            host text NOT NULL,
            image text NOT NULL,
            version text NOT NULL,
            state text NOT NULL CONSTRAINT image_presence_state CHECK (state IN ('present', 'missing', 'importing', 'failed')),
            digest text,
            bytes bigint NOT NULL DEFAULT 0,
            bytes_done bigint NOT NULL DEFAULT 0,
            note text,
            file text,
            read_at bigint,
            seen_at bigint NOT NULL,
            PRIMARY KEY (pool_id, host, image, version)
        );
        CREATE TABLE sizes (
            name text PRIMARY KEY,
            cpu integer NOT NULL,
            memory_mib integer NOT NULL,
            disk_gib integer NOT NULL,
            declared boolean NOT NULL DEFAULT false
        );
        CREATE TABLE blueprints (
            name text NOT NULL,
            version integer NOT NULL,
            content text NOT NULL,
            declared boolean NOT NULL DEFAULT false,
            retired boolean NOT NULL DEFAULT false,
            current boolean NOT NULL DEFAULT true,
            created_at bigint NOT NULL,
            PRIMARY KEY (name, version)
        );

        CREATE TABLE labs (
            id text PRIMARY KEY,
            name text NOT NULL,
            blueprint text NOT NULL,
            blueprint_version integer NOT NULL,
            team_id text NOT NULL REFERENCES teams (id),
            owner_id text NOT NULL REFERENCES people (id),
            state text NOT NULL CONSTRAINT labs_state CHECK (state IN ('requested', 'awaiting-approval', 'scheduled', 'provisioning',
                'ready', 'stopped', 'grace', 'ending', 'ended', 'failed')),
            health text NOT NULL DEFAULT 'ok' CONSTRAINT labs_health CHECK (health IN ('ok', 'degraded')),
            frozen boolean NOT NULL DEFAULT false,
            reason text,
            version bigint NOT NULL DEFAULT 0,
            asked_pool text,
            labels text NOT NULL DEFAULT '{}',
            parameters text NOT NULL DEFAULT '{}',
            lease_start bigint NOT NULL,
            lease_length bigint,
            lease_end bigint,
            lease_grace bigint NOT NULL,
            zone text NOT NULL,
            daily text,
            warned_at bigint,
            heartbeat_term bigint,
            beat_at bigint,
            next_at bigint,
            next_deed text,
            deed_at bigint,
            requested_at bigint NOT NULL,
            ready_at bigint,
            ended_at bigint,
            CONSTRAINT labs_lease_in_order CHECK (lease_end IS NULL OR lease_end >= lease_start),
            CONSTRAINT labs_heartbeat CHECK ((heartbeat_term IS NULL) = (beat_at IS NULL))
        );
        CREATE INDEX labs_next ON labs (next_at) WHERE next_at IS NOT NULL;
        CREATE INDEX labs_team ON labs (team_id, id);
        CREATE INDEX labs_owner ON labs (owner_id, id);
        CREATE INDEX labs_state ON labs (state, id);
        CREATE TABLE machines (
            id text PRIMARY KEY,
            lab_id text NOT NULL REFERENCES labs (id),
            name text NOT NULL,
            state text NOT NULL CONSTRAINT machines_state CHECK (state IN ('pending', 'building', 'running', 'stopping', 'stopped',
                'missing', 'unknown', 'removing', 'gone')),
            generation integer NOT NULL DEFAULT 0,
            image text NOT NULL,
            image_version text NOT NULL,
            cpu integer NOT NULL,
            memory_mib integer NOT NULL,
            disk_gib integer NOT NULL,
            pool_id text REFERENCES pools (id),
            host text,
            external_id text,
            addresses text NOT NULL DEFAULT '[]',
            cards text NOT NULL DEFAULT '[{"network":"shared"}]',
            warm_start boolean NOT NULL DEFAULT false,
            start text,
            position integer NOT NULL,
            building_since bigint,
            CONSTRAINT machines_name UNIQUE (lab_id, name)
        );
        CREATE INDEX machines_pool ON machines (pool_id) WHERE pool_id IS NOT NULL;
        CREATE TABLE console_tokens (
            token_hash text PRIMARY KEY,
            kind text NOT NULL CONSTRAINT console_tokens_kind CHECK (kind IN ('vnc', 'serial', 'ssh', 'terminal')),
            lab_id text NOT NULL REFERENCES labs (id),
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            person_id text NOT NULL REFERENCES people (id),
            session text NOT NULL,
            expires_at bigint NOT NULL,
            used_at bigint
        );
        CREATE INDEX console_tokens_over ON console_tokens (expires_at);
        CREATE TABLE console_rooms (
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            kind text NOT NULL,
            worker text NOT NULL,
            address text,
            opened_at bigint NOT NULL,
            PRIMARY KEY (machine_id, generation, kind)
        );
        CREATE TABLE host_keys (
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            fingerprint text NOT NULL,
            public_key text,
            since bigint NOT NULL,
            PRIMARY KEY (machine_id, generation)
        );
        CREATE TABLE placements (
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            pool_id text NOT NULL,
            host text,
            why text NOT NULL,
            at bigint NOT NULL,
            PRIMARY KEY (machine_id, generation)
        );
        CREATE TABLE capacity_holds (
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            pool_id text NOT NULL REFERENCES pools (id),
            host text NOT NULL,
            cpu integer NOT NULL,
            memory_mib integer NOT NULL,
            disk_gib integer NOT NULL,
            from_at bigint NOT NULL,
            to_at bigint,
            PRIMARY KEY (machine_id, generation)
        );
        CREATE INDEX capacity_holds_live ON capacity_holds (pool_id) WHERE to_at IS NULL;
        CREATE TABLE warm_holds (
            pool_id text NOT NULL REFERENCES pools (id),
            host text NOT NULL,
            image text NOT NULL,
            image_version text NOT NULL,
            cpu integer NOT NULL,
            memory_mib integer NOT NULL,
            disk_gib integer NOT NULL,
            PRIMARY KEY (pool_id, host, image, image_version, cpu, memory_mib)
        );
        CREATE TABLE events (
            lab_id text NOT NULL REFERENCES labs (id),
            version bigint NOT NULL,
            at bigint NOT NULL,
            kind text NOT NULL,
            data text NOT NULL,
            PRIMARY KEY (lab_id, version)
        );
        CREATE TABLE idempotency (
            caller text NOT NULL,
            idempotency_key text NOT NULL,
            body_hash text NOT NULL,
            lab_id text NOT NULL REFERENCES labs (id),
            at bigint NOT NULL,
            CONSTRAINT idempotency_pkey PRIMARY KEY (caller, idempotency_key)
        );

        CREATE TABLE snapshots (
            id text PRIMARY KEY,
            lab_id text NOT NULL REFERENCES labs (id),
            name text NOT NULL,
            state text NOT NULL CONSTRAINT snapshots_state CHECK (state IN ('taking', 'taken', 'deleting', 'broken')),
            asked_by text NOT NULL,
            asked_at bigint NOT NULL,
            taken_at bigint,
            CONSTRAINT snapshots_name UNIQUE (lab_id, name)
        );
        CREATE TABLE snapshot_items (
            snapshot_id text NOT NULL REFERENCES snapshots (id),
            machine_id text NOT NULL REFERENCES machines (id),
            generation integer NOT NULL,
            state text NOT NULL CONSTRAINT snapshot_items_state CHECK (state IN ('taking', 'taken', 'deleting', 'gone')),
            taken_at bigint,
            with_memory boolean NOT NULL DEFAULT false,
            bytes bigint,
            room_gib integer NOT NULL DEFAULT 0,
            PRIMARY KEY (snapshot_id, machine_id)
        );
        CREATE INDEX snapshot_items_machine ON snapshot_items (machine_id);

        CREATE TABLE quotas (
            team_id text NOT NULL REFERENCES teams (id),
            scope text NOT NULL CONSTRAINT quotas_scope CHECK (scope IN ('team', 'person')),
            dimension text NOT NULL,
            amount bigint NOT NULL CONSTRAINT quotas_amount CHECK (amount >= 0),
            PRIMARY KEY (team_id, scope, dimension)
        );
        CREATE TABLE quota_holds (
            lab_id text NOT NULL REFERENCES labs (id),
            dimension text NOT NULL,
            team_id text NOT NULL REFERENCES teams (id),
            person_id text NOT NULL REFERENCES people (id),
            amount bigint NOT NULL,
            from_at bigint NOT NULL,
            to_at bigint,
            PRIMARY KEY (lab_id, dimension)
        );
        CREATE INDEX quota_holds_team ON quota_holds (team_id, to_at);

        CREATE TABLE workers (
            id text PRIMARY KEY,
            name text NOT NULL,
            beat bigint NOT NULL,
            started_at bigint NOT NULL
        );
        CREATE TABLE runs (
            id text PRIMARY KEY,
            lab_id text NOT NULL REFERENCES labs (id),
            team_id text NOT NULL,
            workflow text NOT NULL,
            version integer NOT NULL,
            state text NOT NULL CONSTRAINT runs_state CHECK (state IN ('running', 'undoing', 'stuck', 'done', 'undone', 'abandoned')),
            arguments text NOT NULL DEFAULT '{}',
            asked_by text NOT NULL,
            cancel_requested boolean NOT NULL DEFAULT false,
            end_asked_by text,
            step text,
            steps_done integer NOT NULL DEFAULT 0,
            steps_total integer NOT NULL DEFAULT 0,
            problem text,
            created_at bigint NOT NULL,
            due_at bigint NOT NULL,
            waits_for text,
            since bigint NOT NULL,
            finished_at bigint,
            worker text,
            token bigint NOT NULL DEFAULT 0,
            trace_parent text
        );
        CREATE UNIQUE INDEX runs_one_live_per_lab ON runs (lab_id) WHERE state IN ('running', 'undoing', 'stuck');
        CREATE INDEX runs_due ON runs (due_at) WHERE state IN ('running', 'undoing');
        CREATE INDEX runs_waiting ON runs (waits_for) WHERE waits_for IS NOT NULL;
        CREATE INDEX runs_lab ON runs (lab_id, id);
        CREATE INDEX runs_state ON runs (state, id);
        CREATE TABLE journal (
            run_id text NOT NULL REFERENCES runs (id),
            direction text NOT NULL,
            step text NOT NULL,
            target text NOT NULL,
            attempt integer NOT NULL,
            state text NOT NULL CONSTRAINT journal_state CHECK (state IN ('intended', 'waiting', 'done', 'failed')),
            intended_at bigint NOT NULL,
            at bigint NOT NULL,
            due_at bigint,
            fault_kind text,
            note text,
            PRIMARY KEY (run_id, direction, step, target, attempt)
        );

        CREATE TABLE orphans (
            id text PRIMARY KEY,
            pool_id text NOT NULL REFERENCES pools (id),
            kind text NOT NULL,
            external_id text NOT NULL,
            name text NOT NULL,
            owner_id text NOT NULL,
            generation integer NOT NULL,
            host text,
            lab_id text,
            team_id text,
            state text NOT NULL CONSTRAINT orphans_state CHECK (state IN ('listed', 'deleting', 'gone', 'adopted')),
            first_seen_at bigint NOT NULL,
            last_seen_at bigint NOT NULL,
            note text,
            CONSTRAINT orphans_once UNIQUE (pool_id, kind, external_id)
        );
        CREATE INDEX orphans_listed ON orphans (first_seen_at, id) WHERE state IN ('listed', 'deleting');
        CREATE TABLE meter_events (
            id text PRIMARY KEY,
            machine_id text NOT NULL,
            generation integer NOT NULL,
            lab_id text NOT NULL,
            team_id text NOT NULL,
            pool_id text NOT NULL,
            state text NOT NULL,
            cpu integer NOT NULL,
            memory_mib integer NOT NULL,
            disk_gib integer NOT NULL,
            at bigint NOT NULL,
            recorded_at bigint NOT NULL
        );
        CREATE INDEX meter_events_lab ON meter_events (lab_id, id);
        CREATE TABLE audit (
            id text PRIMARY KEY,
            at bigint NOT NULL,
            person_id text,
            actor text NOT NULL,
            channel text NOT NULL,
            token_name text,
            address text,
            request_id text,
            verb text NOT NULL,
            object_kind text NOT NULL,
            object_id text NOT NULL,
            team_id text,
            outcome text NOT NULL,
            detail text NOT NULL DEFAULT '{}'
        );
        CREATE INDEX audit_object ON audit (object_kind, object_id, id);
        CREATE INDEX audit_person ON audit (person_id, id);
        CREATE TABLE notices (
            id text PRIMARY KEY,
            person_id text NOT NULL REFERENCES people (id),
            lab_id text REFERENCES labs (id),
            code text NOT NULL,
            arguments text NOT NULL,
            at bigint NOT NULL,
            read_at bigint
        );
        CREATE INDEX notices_person ON notices (person_id, id);
        CREATE TABLE outbox (
            id text PRIMARY KEY,
            notice_id text NOT NULL REFERENCES notices (id),
            channel text NOT NULL,
            address text NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            due_at bigint NOT NULL,
            sent_at bigint,
            problem text
        );
        CREATE INDEX outbox_due ON outbox (due_at) WHERE sent_at IS NULL;
        CREATE INDEX outbox_address ON outbox (address, id);
        CREATE TABLE webhooks (
            id text PRIMARY KEY,
            team_id text NOT NULL REFERENCES teams (id),
            address text NOT NULL,
            secret_name text NOT NULL,
            created_at bigint NOT NULL,
            CONSTRAINT webhooks_once UNIQUE (team_id, address)
        );
        CREATE TABLE builds (
            id text PRIMARY KEY,
            pool_id text NOT NULL,
            image text NOT NULL,
            seconds double precision NOT NULL,
            at bigint NOT NULL
        );
        CREATE INDEX builds_of ON builds (pool_id, image, at);

        """;
}
