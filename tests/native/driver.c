/* driver.c: every kernel of scratchnet.h against loops written for reading, without Python.
 *
 * The files of this folder are compiled together with csrc, for the sanitizers, for other compilers and for other
 * processors: tools/native.sh.
 */

#include <stdio.h>

#include "driver.h"

int main(void)
{
    static const sn_size sizes[][3] = {
        { 0, 3, 2 }, { 3, 0, 2 }, { 3, 2, 0 }, { 0, 0, 0 }, { 1, 1, 1 }, { 2, 3, 4 }, { 4, 7, 8 }, { 5, 8, 9 },
        { 6, 16, 3 }, { 7, 5, 16 }, { 8, 9, 17 }, { 9, 4, 31 }, { 30, 2, 10 }, { 33, 31, 40 }, { 13, 130, 65 },
        { 40, 257, 70 }, { 65, 20, 129 },
    };
    static const sn_size large[][3] = { /* blocks, strips, several groups, few columns; or zeros left out */
        { 61, 401, 103 }, { 101, 130, 50 }, { 26, 53, 530 }, { 403, 30, 1 }, { 205, 31, 3 },
        { 5, 270, 260 }, { 17, 270, 260 }, { 130, 130, 225 }, { 20, 130, 451 },
    };
    const sn_label outside[] = { 0, 4, 2, 5, -1 };
    if (sn_find_label_outside(5, outside, 5) != 3 || sn_find_label_outside(3, outside, 5) != -1
        || sn_find_label_outside(0, NULL, 0) != -1 || sn_use_isa("none")) {
        fprintf(stderr, "labels or instruction sets\n");
        return 1;
    }
    for (sn_size n = 0; n < 70; n++)
        test_shuffle(n);
    test_shuffle(70000);
    for (int k = 0; sn_isa_available(k); k++) {
        sn_use_isa(sn_isa_available(k));
        for (int type = SN_FLOAT32; type <= SN_FLOAT64; type++) {
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                test_affine((sn_type)type, sizes[i][0], sizes[i][1], sizes[i][2], 0);
                test_batch_normalization((sn_type)type, sizes[i][0], sizes[i][1]);
            }
            for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
                for (int zeros = 0; zeros <= 8; zeros += 8)
                    test_affine((sn_type)type, large[i][0], large[i][1], large[i][2], zeros);
            test_images((sn_type)type);
            for (sn_size n = 0; n < 70; n++) {
                test_elementwise((sn_type)type, n);
                test_updates((sn_type)type, n);
                test_softmax((sn_type)type, n % 7, n + 1);
                test_lstm((sn_type)type, n % 4, n);
                test_gru((sn_type)type, n % 4, n);
            }
            test_softmax((sn_type)type, 0, 0);
            for (int data = SN_DATA_BOOL; data <= SN_DATA_F64; data++) {
                test_plan((sn_type)type, (sn_data)data, SN_SIGMOID);
                test_plan((sn_type)type, (sn_data)data, SN_RELU);
            }
            test_plan_layers((sn_type)type, SN_SIGMOID_LOSS);
            test_plan_layers((sn_type)type, SN_SQUARED_LOSS);
        }
        test_threads();
        sn_set_threads(1);
        printf("%s: every kernel agrees\n", sn_isa());
        fflush(stdout);
    }
    return 0;
}
