using System.Net.Sockets;

/// <summary>
/// Runs in either host before its own program, by DOTNET_STARTUP_HOOKS: whoever connects to the socket BENCH_HEAP is told, after a full collection, how many
/// bytes live.
/// </summary>
#pragma warning disable MA0047, CA1050 // The runtime looks for it under this name alone.
internal static class StartupHook
#pragma warning restore MA0047, CA1050
{
    public static void Initialize()
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Environment.GetEnvironmentVariable("BENCH_HEAP")!));
        listener.Listen();
        new Thread(() => Answer(listener)) { IsBackground = true }.Start();
    }

    private static void Answer(Socket listener)
    {
        while (true)
        {
            using var asker = listener.Accept();
            // What has a finaliser lives until the collection after it.
            for (var round = 0; round < 3; round++)
            {
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                GC.WaitForPendingFinalizers();
            }

            asker.Send(BitConverter.GetBytes(GC.GetTotalMemory(forceFullCollection: false)));
        }
    }
}
