using LabPortal.Domain;

namespace LabPortal.Data.Pools;

/// <summary>The machines that nobody works on: what they are can only change from outside.</summary>
public static class DriftStore
{
    /// <summary>Labs with machines in this pool that are ready, stopped or in grace, and have no live run.</summary>
    public static Task<IReadOnlyList<LabId>> QuietLabsAsync(Session session, PoolId pool) => session.QueryAsync<LabId>("""
        SELECT DISTINCT labs.id FROM machines JOIN labs ON labs.id = machines.lab_id
        WHERE machines.pool_id = @pool AND machines.state IN ('running', 'stopped', 'missing', 'unknown') AND labs.state IN ('ready', 'stopped', 'grace')
            AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.lab_id = labs.id AND runs.state IN ('running', 'undoing', 'stuck'))
        ORDER BY labs.id
        """, new { pool });
}
