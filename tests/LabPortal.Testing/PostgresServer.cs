using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace LabPortal.Testing;

/// <summary>
/// A PostgreSQL server of the tests' own: its folder, its port on loopback, its user. Started once for a test process, stopped with it;
/// each test takes a database of its own from <see cref="CreateDatabaseAsync"/>.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    private readonly TestFolder _folder;
    private readonly int _port;
    private readonly string _bin;
    private int _databases;

    private PostgresServer(TestFolder folder, int port, string bin)
    {
        _folder = folder;
        _port = port;
        _bin = bin;
    }

    /// <param name="durable">Each commit goes to the disk, as in production. Tests kill portals and workers, never the server: without it their commits cost a fraction.</param>
    public static async Task<PostgresServer> StartAsync(bool durable)
    {
        var bin = FindBinaries();
        var folder = new TestFolder();
        var port = FreePort();
        var data = folder["data"];
        Directory.CreateDirectory(data);
        if (Environment.IsPrivilegedProcess)
        {
            // PostgreSQL refuses to run as root.
            await RunAsync("chown", ["-R", "nobody", folder.Path]);
        }

        await RunAsServerUserAsync(Path.Combine(bin, "initdb"), ["-D", data, "-U", "portal", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        var server = new PostgresServer(folder, port, bin);
        await RunAsServerUserAsync(Path.Combine(bin, "pg_ctl"),
        [
            "-D", data, "-w", "-l", Path.Combine(data, "log"),
            "-o", $"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=300 -c shared_buffers=64MB{(durable ? "" : " -c fsync=off -c synchronous_commit=off -c full_page_writes=off")}", "start",
        ]);
        return server;
    }

    /// <summary>A new, empty database; the answer is its connection string.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = $"portal{Interlocked.Increment(ref _databases)}_{Environment.ProcessId}";
        await using var source = NpgsqlDataSource.Create(ConnectionString("postgres"));
        await using var command = source.CreateCommand($"CREATE DATABASE {name}");
        await command.ExecuteNonQueryAsync();
        return ConnectionString(name);
    }

    public async ValueTask DisposeAsync()
    {
        NpgsqlConnection.ClearAllPools();
        await RunAsServerUserAsync(Path.Combine(_bin, "pg_ctl"), ["-D", _folder["data"], "-m", "immediate", "-w", "stop"]);
        _folder.Dispose();
    }

    private string ConnectionString(string database)
        => $"Host=127.0.0.1;Port={_port};Database={database};Username=portal;Maximum Pool Size=60;Include Error Detail=true";

    private static string FindBinaries()
    {
        var versions = Directory.Exists("/usr/lib/postgresql") ? Directory.GetDirectories("/usr/lib/postgresql") : [];
        return versions.Select(version => Path.Combine(version, "bin")).Where(bin => File.Exists(Path.Combine(bin, "initdb"))).Order(StringComparer.Ordinal).LastOrDefault()
            ?? throw new InvalidOperationException("PostgreSQL is not installed; infra/test installs it.");
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private static Task RunAsServerUserAsync(string program, string[] arguments) => Environment.IsPrivilegedProcess
        ? RunAsync("setpriv", ["--reuid=nobody", "--clear-groups", program, .. arguments])
        : RunAsync(program, arguments);

    private static async Task RunAsync(string program, string[] arguments)
    {
        var log = Path.GetTempFileName();
        try
        {
            // The server inherits its starter's output: a file, because a pipe would never end.
            var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
            foreach (var argument in (string[])["-c", "out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null", "sh", log, program, .. arguments]) start.ArgumentList.Add(argument);
            using var process = Process.Start(start)!;
            await process.WaitForExitAsync();
            if (process.ExitCode != 0) throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {await File.ReadAllTextAsync(log)}");
        }
        finally
        {
            File.Delete(log);
        }
    }
}
