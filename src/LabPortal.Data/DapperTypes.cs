using System.Data;
using System.Text.Json;
using Dapper;
using LabPortal.Domain;
using NodaTime;
using Npgsql;

namespace LabPortal.Data;

/// <summary>The stored forms: instants as microseconds UTC, ids as canonical text.</summary>
internal static class DapperTypes
{
    private static readonly Lock s_gate = new();
    private static readonly Dictionary<Type, SqlMapper.ITypeHandler> s_handlers = [];
    private static bool s_registered;

    public static void Register()
    {
        lock (s_gate)
        {
            if (s_registered) return;
            s_registered = true;
            DefaultTypeMap.MatchNamesWithUnderscores = true;
            Add(new InstantHandler());
            Add(new DurationHandler());
            SqlMapper.AddTypeHandler(typeof(Many), new ManyHandler());
            SqlMapper.RemoveTypeMap(typeof(Guid));
            SqlMapper.RemoveTypeMap(typeof(Guid?));
            Add(new IdHandler<Guid>(id => id, id => id));
            Add(new IdHandler<InstallationId>(id => id.Value, id => new(id)));
            Add(new IdHandler<LabId>(id => id.Value, id => new(id)));
            Add(new IdHandler<MachineId>(id => id.Value, id => new(id)));
            Add(new IdHandler<RunId>(id => id.Value, id => new(id)));
            Add(new IdHandler<SnapshotId>(id => id.Value, id => new(id)));
            Add(new IdHandler<PersonId>(id => id.Value, id => new(id)));
            Add(new IdHandler<TeamId>(id => id.Value, id => new(id)));
            Add(new IdHandler<PoolId>(id => id.Value, id => new(id)));
        }
    }

    /// <summary>Gives a parameter the stored form of a value of this declared type, and the type also where there is no value.</summary>
    public static void Set(IDbDataParameter parameter, Type type, object? value)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        parameter.DbType = type == typeof(long) || type == typeof(Instant) || type == typeof(Duration) ? DbType.Int64
            : type == typeof(int) ? DbType.Int32
            : type == typeof(bool) ? DbType.Boolean
            : DbType.String;
        if (value is not null && s_handlers.TryGetValue(type, out var handler)) handler.SetValue(parameter, value);
        else parameter.Value = value ?? DBNull.Value;
    }

    private static void Add<T>(Handler<T> handler) where T : struct
    {
        s_handlers[typeof(T)] = handler;
        SqlMapper.AddTypeHandler(typeof(T), handler);
    }

    private sealed class InstantHandler : Handler<Instant>
    {
        protected override Instant Read(object stored) => Instants.FromMicroseconds((long)stored);

        protected override (DbType, object) Write(Instant value) => (DbType.Int64, value.ToMicroseconds());
    }

    private sealed class ManyHandler : SqlMapper.ITypeHandler
    {
        public object Parse(Type destinationType, object value) => throw new NotSupportedException("Many values are only asked with, and never stored.");

        public void SetValue(IDbDataParameter parameter, object value)
            => parameter.Value = parameter is NpgsqlParameter ? ((Many)value).Values.ToArray() : JsonSerializer.Serialize(((Many)value).Values);
    }

    private sealed class DurationHandler : Handler<Duration>
    {
        protected override Duration Read(object stored) => Duration.FromTicks((long)stored * 10);

        protected override (DbType, object) Write(Duration value) => (DbType.Int64, value.BclCompatibleTicks / 10);
    }

    private sealed class IdHandler<T>(Func<T, Guid> read, Func<Guid, T> make) : Handler<T> where T : struct
    {
        protected override T Read(object stored) => make(Guid.ParseExact((string)stored, "D"));

        protected override (DbType, object) Write(T value) => (DbType.String, Ids.Canonical(read(value)));
    }

    /// <summary>Dapper's own base hands a NULL in a row of one column (<c>SELECT min(…)</c>) to the reader of the value; here it stays null.</summary>
    private abstract class Handler<T> : SqlMapper.ITypeHandler where T : struct
    {
        protected abstract T Read(object stored);

        protected abstract (DbType Type, object Stored) Write(T value);

        public object? Parse(Type destinationType, object value) => value is DBNull ? null : Read(value);

        public void SetValue(IDbDataParameter parameter, object value)
        {
            if (value is T known) (parameter.DbType, parameter.Value) = Write(known);
            else parameter.Value = DBNull.Value;
        }
    }
}
