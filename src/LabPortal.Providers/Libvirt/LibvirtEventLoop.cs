namespace LabPortal.Providers.Libvirt;

/// <summary>libvirt's own event loop, once for the process: it carries the keep-alive of every connection.</summary>
internal static class LibvirtEventLoop
{
    private static readonly Lock Starting = new();
    private static bool s_started;

    /// <summary>Must come before the first connection: libvirt refuses keep-alive on one that was opened without a loop.</summary>
    public static void Start()
    {
        lock (Starting)
        {
            if (s_started) return;
            unsafe
            {
                if (Native.virInitialize() < 0 || Native.virEventRegisterDefaultImpl() < 0)
                    throw new InvalidOperationException("libvirt could not be initialised: " + Native.Text(Native.virGetLastErrorMessage()));
                Native.virSetErrorFunc(0, &Native.IgnoreError);
                // A loop with nothing to watch returns at once; a timer keeps it waiting instead of spinning.
                _ = Native.virEventAddTimeout(60_000, &Native.Tick, 0, 0);
            }

            new Thread(static () =>
            {
                while (true) _ = Native.virEventRunDefaultImpl();
            }) { IsBackground = true, Name = "libvirt events" }.Start();
            s_started = true;
        }
    }
}
